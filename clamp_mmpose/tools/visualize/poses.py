from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .subject import Subject, paged

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure

HELP = 'ground truth and prediction, and the score maps of --keypoints: poses.png'


def add_arguments(parser: _ArgumentGroup) -> None:
    pass


def missing(subject: Subject) -> str:
    return ''


def draw(subject: Subject) -> Iterator[tuple[str, Figure]]:
    from ...visualization import choose_keypoints, draw_pose_panel
    keypoints = subject.keypoints or choose_keypoints(subject.views)
    for name, views in paged('poses.png', subject.views):
        yield name, draw_pose_panel(
            views, keypoints, subject.names, subject.dataset.metainfo, kpt_thr=subject.args.kpt_thr)
