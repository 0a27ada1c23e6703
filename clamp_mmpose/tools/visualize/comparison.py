"""Fig. 5 and 6 of CLAMP."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .subject import Subject, keypoint_names, load_model, paged, read_config

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure
    from mmengine.dataset import BaseDataset

HELP = 'ground truth, the prediction of --baseline and the prediction, with the OKS of both (Fig. 5): comparison.png'


def add_arguments(parser: _ArgumentGroup) -> None:
    parser.add_argument('--baseline', nargs=2, metavar=('CONFIG', 'CHECKPOINT'),
                        help='model to compare with, of any kind and size, for the same keypoints')


def missing(subject: Subject) -> str:
    return '' if subject.args.baseline else '--baseline CONFIG CHECKPOINT'


def draw(subject: Subject) -> Iterator[tuple[str, Figure]]:
    from mmengine.dataset import Compose
    from mmpose.apis.inference import dataset_meta_from_config

    from ...visualization import compute_oks, draw_comparison, view_instances
    args, meta = subject.args, subject.dataset.metainfo
    path, checkpoint = args.baseline
    config = read_config(path)
    names, wanted = keypoint_names(dataset_meta_from_config(config, 'val')), keypoint_names(meta)
    if names != wanted:
        raise ValueError(f'--baseline {path} predicts other keypoints, {", ".join(names)}; those here are '
                         f'{", ".join(wanted)}')
    baseline = load_model(config, checkpoint, args.device)
    through = _OtherPipeline(subject.dataset, Compose(config.val_dataloader.dataset.pipeline))
    areas = [subject.dataset.get_data_info(index).get('area') for index in subject.indices]
    areas = [None if area is None else float(np.ravel(area)[0]) for area in areas]
    predictions = {}
    for title, views in (('baseline', view_instances(baseline, through, subject.indices)), ('model', subject.views)):
        name = Path(path if title == 'baseline' else args.config).stem
        scores = [compute_oks(view.sample, area, meta['sigmas']) for view, area in zip(views, areas)
                  if view.annotated and area is not None and meta.get('sigmas') is not None]
        mean = f'\nmean OKS {np.nanmean(scores):.2f}' if np.isfinite(scores).any() else ''
        predictions[f'{title}: {name.split("_4x")[0].split("_1x")[0]}{mean}'] = views
    for name, rows in paged('comparison.png', range(len(subject.indices))):
        yield name, draw_comparison(
            {title: [views[row] for row in rows] for title, views in predictions.items()}, meta,
            areas=[areas[row] for row in rows], kpt_thr=args.kpt_thr)


class _OtherPipeline:
    """The instances of a dataset, as another model's pipeline makes them."""

    def __init__(self, dataset: BaseDataset, pipeline) -> None:
        self.dataset = dataset
        self.pipeline = pipeline

    def __getitem__(self, index: int) -> dict:
        return self.pipeline(self.dataset.get_data_info(index))
