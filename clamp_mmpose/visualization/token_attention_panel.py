from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .token_attention import TokenAttention

_CELL = 0.125  # of a token, inches
_LARGEST = 20  # of the map of tokens, inches


def draw_token_attention(attention: TokenAttention, names: Sequence[str], *, title: str = '') -> Figure:
    """The map of all tokens and, beside it, what the numbers of each joint give to those of the others.

    As in the paper, a row is a token that is looked at, and a column one that is being written: the brighter a row, the
    more it counts. Rows and columns of numbers are named by joint and value, in black.
    """
    T, J = len(attention.read), len(attention.joints)
    side, beside = min(max(_CELL * T, 3), _LARGEST), 0.3 * max(J, 5)
    figure = Figure(figsize=(side + beside + 4.2, max(side, beside) + 1.8), layout='constrained')
    left, right = figure.subplots(1, 2, width_ratios=[side + 1.9, beside + 2.3])
    read, written = attention.labels(names)
    hidden = np.triu(np.ones((T, T), dtype=bool), 1)
    values = np.ma.masked_array(attention.weights, hidden).T
    # A few weights near 1, as of the start token, would leave the rest in the dark.
    bright = max(float(np.quantile(attention.weights[~hidden], 0.98)), 1e-6)
    image = left.imshow(values, cmap='viridis', vmin=0, vmax=bright)
    size = 6 if _CELL * T <= _LARGEST else 6 * _LARGEST / (_CELL * T)
    _name_ticks(left, read, written, attention.numbers, size)
    left.set_xlabel('token being written', fontsize=9)
    left.set_ylabel('token looked at', fontsize=9)
    left.set_title(f'{title}\nself-attention of all tokens (black: numbers)'.strip(), fontsize=11)
    figure.colorbar(image, ax=left, extend='max', fraction=0.03, pad=0.01).set_label('attention', fontsize=8)
    between = attention.between_joints().T
    if J:
        image = right.imshow(between, cmap='viridis', vmin=0)
        own = [names[joint] for joint in attention.joints]
        right.set_xticks(range(J), own, rotation=90, fontsize=8)
        right.set_yticks(range(J), own, fontsize=8)
        right.set_xlabel('joint whose numbers are being written', fontsize=9)
        right.set_ylabel('joint whose numbers are looked at', fontsize=9)
        figure.colorbar(image, ax=right, fraction=0.04, pad=0.02).set_label('attention', fontsize=8)
        share = np.nanmean(np.nansum(between, axis=0))
        right.set_title(f'between the numbers of joints\n({share:.0%} of their attention)', fontsize=11)
    else:
        right.set_axis_off()
        right.set_title('the caption has no number\nof a joint', fontsize=11)
    return figure


def _name_ticks(ax: Axes, read: Sequence[str], written: Sequence[str], numbers: Sequence, size: float) -> None:
    for axis, names, places in ((ax.yaxis, read, numbers), (ax.xaxis, written, (*numbers[1:], None))):
        axis.set_ticks(range(len(names)), names, fontsize=size)
        axis.set_tick_params(length=1.5, pad=1)
        for label, place in zip(axis.get_ticklabels(), places):
            label.set_parse_math(False)
            label.set_color('black' if place else '0.55')
    ax.tick_params(axis='x', rotation=90)
