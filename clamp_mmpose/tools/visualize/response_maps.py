"""Fig. 7 of LOFR."""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .baseline import Baseline
from .subject import Subject, to_csv

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure

HELP = ("LOFR's response maps beside the activation maps of its CNN and the maps of a --baseline, of all or of "
        '--keypoints, a page each (Fig. 7): response_maps_N.png, response_maps.csv')


def add_arguments(parser: _ArgumentGroup) -> None:
    pass


def missing(subject: Subject) -> str:
    from ...visualization import missing_for_responses
    head = getattr(subject.model, 'head', None)
    lacks = missing_for_responses(head)
    name = type(subject.model if head is None else head).__name__
    return f'a head with response maps, LOFRHead; {name} has no {", ".join(lacks)}' if lacks else ''


def draw(subject: Subject) -> Iterator[tuple[str, Figure | str]]:
    from ... import visualization
    view, model, dataset, indices = visualization.view_responses, subject.model, subject.dataset, subject.indices
    kinds = {'activation': view(model, dataset, indices, 'activation')}
    if subject.args.baseline:
        baseline = Baseline.load(subject)
        kinds['baseline'] = view(baseline.model, baseline.dataset, indices)
    kinds['response'] = view(model, dataset, indices)
    keypoints, rows = subject.keypoints or range(len(subject.names)), []
    for number, views in enumerate(zip(*kinds.values()), 1):
        of_one = dict(zip(kinds, views))
        rows += visualization.response_table(of_one, keypoints, subject.names)
        yield f'response_maps_{number}.png', visualization.draw_responses(
            of_one, keypoints, subject.names, dataset.metainfo, kpt_thr=subject.args.kpt_thr)
    yield 'response_maps.csv', to_csv(visualization.RESPONSE_COLUMNS, rows)
