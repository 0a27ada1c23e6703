"""Fig. 4 of CLAMP."""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .subject import NO_SCORE_MAP, Subject

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure

HELP = 'the score map of every keypoint name over the image (Fig. 4), a page each: score_map_overlay_N.png'


def add_arguments(parser: _ArgumentGroup) -> None:
    parser.add_argument('--raw', action='store_true',
                        help="the neck's cosines, in place of the map that the spatial loss sees")
    parser.add_argument('--limits', nargs=2, type=float, metavar=('LOW', 'HIGH'),
                        help='the scores that are dark and bright, to compare models (default: from these images)')


def missing(subject: Subject) -> str:
    return '' if subject.has_score_map else NO_SCORE_MAP


def draw(subject: Subject) -> Iterator[tuple[str, Figure]]:
    from ...visualization import draw_score_map_overlay, score_limits
    raw, limits = subject.args.raw, subject.args.limits
    if limits and limits[0] >= limits[1]:
        raise ValueError(f'--limits {limits[0]} {limits[1]}: the first must be lower')
    limits = limits or score_limits(subject.views, raw=raw)
    keypoints = subject.keypoints or range(len(subject.names))
    for number, view in enumerate(subject.views, 1):
        yield (f'score_map_overlay_{number}.png',
               draw_score_map_overlay(view, keypoints, subject.names, raw=raw, limits=tuple(limits)))
