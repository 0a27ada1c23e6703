from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .subject import NO_SCORE_MAP, Subject

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure

HELP = 'cosines, upsampled score map and heatmap of --keypoints, a page each: score_maps_N.png'


def add_arguments(parser: _ArgumentGroup) -> None:
    pass


def missing(subject: Subject) -> str:
    return '' if subject.has_score_map else NO_SCORE_MAP


def draw(subject: Subject) -> Iterator[tuple[str, Figure]]:
    from ...visualization import choose_keypoints, draw_score_maps
    keypoints = subject.keypoints or choose_keypoints(subject.views)
    for number, view in enumerate(subject.views, 1):
        yield f'score_maps_{number}.png', draw_score_maps(view, keypoints, subject.names)
