"""Fig. 7 of the BLIP pose captions: captions drawn on their images, with their words below."""
from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .pose_panel import draw_pose
from .pose_view import PoseView

_WIDTH = 3.1  # of a picture, inches
_FONT = 6.5
_LETTER = 0.6 * _FONT / 72  # width of one of a monospaced font, inches
_LINES = 8  # of a caption that does not end


@dataclasses.dataclass(frozen=True)
class CaptionCell:
    """One picture: the points (K, 2) that a caption names, in pixels of the view's crop, and which of them it has.

    ``note`` is said above the ``caption``; ``sound``: whether the caption is as it should be.
    """

    points: np.ndarray
    given: np.ndarray
    caption: str = ''
    note: str = ''
    sound: bool = True


def draw_captions(views: Sequence[PoseView], columns: dict[str, Sequence[CaptionCell]], dataset_meta: dict) -> Figure:
    """One row per view; one column per title of ``columns``, whose cells belong to the ``views``.

    All points that a caption has are drawn, however sure. A caption that is not sound is written in red, and one that
    does not end is cut, with an ellipsis.
    """
    aspects = [view.image.shape[0] / view.image.shape[1] for view in views]
    texts = [[_describe(cell) for cell in row] for row in zip(*columns.values())]
    lines = sum(max(text.count('\n') + 1 for text in row) for row in texts)
    figure = Figure(figsize=(_WIDTH * len(columns), _WIDTH * sum(aspects) + lines * 1.35 * _FONT / 72 + 0.7),
                    layout='constrained')
    axes = figure.subplots(len(views), len(columns), squeeze=False, height_ratios=aspects)
    for view, row, cells, words in zip(views, axes, zip(*columns.values()), texts):
        for ax, cell, text in zip(row, cells, words):
            ax.imshow(draw_pose(view, cell.points, cell.given.astype(float), dataset_meta, kpt_thr=0.5))
            ax.set_xlabel(text, fontsize=_FONT, family='monospace', loc='left', color='black' if cell.sound else 'C3')
            # A dollar would begin a formula.
            ax.xaxis.label.set_parse_math(False)
    for ax, title in zip(axes[0], columns):
        ax.set_title(title, fontsize=11)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    return figure


def _describe(cell: CaptionCell) -> str:
    width = int(0.97 * _WIDTH / _LETTER)
    caption = textwrap.wrap(''.join(letter if letter.isprintable() else ' ' for letter in cell.caption), width)
    if len(caption) > _LINES:
        caption = [*caption[:_LINES - 1], caption[_LINES - 1][:width - 2] + ' …']
    return '\n'.join(line for line in (*textwrap.wrap(cell.note, width), *caption))
