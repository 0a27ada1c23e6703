"""Fig. 5 and 6 of CLAMP."""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .baseline import Baseline, short_name
from .subject import Subject, paged

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure

HELP = 'ground truth, the prediction of --baseline and the prediction, with the OKS of both (Fig. 5): comparison.png'


def add_arguments(parser: _ArgumentGroup) -> None:
    parser.add_argument('--baseline', nargs=2, metavar=('CONFIG', 'CHECKPOINT'),
                        help='model to compare with, of any kind and size, for the same keypoints')


def missing(subject: Subject) -> str:
    return '' if subject.args.baseline else '--baseline CONFIG CHECKPOINT'


def draw(subject: Subject) -> Iterator[tuple[str, Figure]]:
    from ...visualization import compute_oks, draw_comparison, view_instances
    args, meta = subject.args, subject.dataset.metainfo
    baseline = Baseline.load(subject)
    areas = [subject.dataset.get_data_info(index).get('area') for index in subject.indices]
    areas = [None if area is None else float(np.ravel(area)[0]) for area in areas]
    predictions = {}
    for title, views in (('baseline', view_instances(baseline.model, baseline.dataset, subject.indices)),
                         ('model', subject.views)):
        name = short_name(args.baseline[0] if title == 'baseline' else args.config)
        scores = [compute_oks(view.sample, area, meta['sigmas']) for view, area in zip(views, areas)
                  if view.annotated and area is not None and meta.get('sigmas') is not None]
        mean = f'\nmean OKS {np.nanmean(scores):.2f}' if np.isfinite(scores).any() else ''
        predictions[f'{title}: {name}{mean}'] = views
    for name, rows in paged('comparison.png', range(len(subject.indices))):
        yield name, draw_comparison(
            {title: [views[row] for row in rows] for title, views in predictions.items()}, meta,
            areas=[areas[row] for row in rows], kpt_thr=args.kpt_thr)
