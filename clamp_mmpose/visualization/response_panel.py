"""Pictures of :mod:`response_maps`."""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ..models.layers import resize_map
from .pose_panel import draw_pose
from .pose_view import PoseView
from .response_maps import responses_at_labels
from .score_map import mark_label, tint

_CELL, _GAP = 1.75, 0.12  # inches
_WIDTH = 11  # of a page, about


def draw_responses(kinds: dict[str, PoseView],
                   keypoints: Sequence[int],
                   names: Sequence[str],
                   dataset_meta: dict,
                   *,
                   kpt_thr: float = 0.3) -> Figure:
    """The maps of each keypoint over the crop, those of all ``kinds`` side by side, behind the poses read from them.

    ``kinds``: what the maps are called -> the view of one instance that has them as ``heatmap``. ``keypoints`` are
    places in ``names``. Each map has its own maximum as 1. A ring marks the label, a cross the keypoint that is read
    from the map, if its score is above ``kpt_thr``.
    """
    groups = 1 + len(keypoints)
    down = math.ceil(groups / max(round(_WIDTH / (_CELL * len(kinds))), 1))
    across = math.ceil(groups / down)
    aspect = max(view.image.shape[0] / view.image.shape[1] for view in kinds.values())
    widths = ([_CELL] * len(kinds) + [_GAP]) * across
    figure = Figure(figsize=(sum(widths) + 0.9, (_CELL * aspect + 0.3) * down + 0.6), layout='constrained')
    axes = figure.subplots(down, len(widths), squeeze=False, width_ratios=widths)
    for ax in axes.flat:
        ax.set_visible(False)
    cells = axes.reshape(down * across, len(kinds) + 1)
    values = {kind: responses_at_labels(view) for kind, view in kinds.items()}
    for ax, (kind, view) in zip(cells[0], kinds.items()):
        _show(ax, draw_pose(view, view.predicted, view.scores, dataset_meta, kpt_thr), kind)
    cells[0, 0].set_title('pose', loc='left', fontsize=9, fontweight='bold')
    for row, index in zip(cells[1:], keypoints):
        for ax, (kind, view) in zip(row, kinds.items()):
            _show(ax, tint(view.image, _strength(view, index)), kind)
            _mark(ax, view, index, values[kind][index], kpt_thr)
        row[0].set_title(names[index], loc='left', fontsize=9, fontweight='bold')
    bar = figure.colorbar(ScalarMappable(cmap='inferno'), ax=axes, aspect=40, fraction=0.02, pad=0.01)
    bar.set_label("share of the map's maximum", fontsize=8)
    view = next(iter(kinds.values()))
    figure.suptitle(view.name, fontsize=10)
    figure.supxlabel(f'cross: keypoint read from the map, with its score, if above {kpt_thr:g}'
                     + ('; ring: label, with the value of the map there' if view.annotated else ''), fontsize=8)
    return figure


def _strength(view: PoseView, index: int) -> np.ndarray:
    """(H, W) of the crop, where a cell lies where the keypoints are read from it."""
    maps = torch.as_tensor(view.heatmap[index], dtype=torch.float32)[None, None]
    values = resize_map(maps, view.image.shape[:2])[0, 0].numpy().clip(0, None)
    return values / max(float(maps.max()), np.finfo(np.float32).tiny)


def _show(ax: Axes, picture: np.ndarray, kind: str) -> None:
    ax.set_visible(True)
    ax.imshow(picture)
    ax.set(xticks=[], yticks=[])
    ax.set_title(kind, loc='right', fontsize=7)


def _mark(ax: Axes, view: PoseView, index: int, value: float, kpt_thr: float) -> None:
    mark_label(ax, view, index)
    height, width = view.image.shape[:2]
    if view.scores[index] > kpt_thr:
        for colour, thick in (('black', 3.4), ('tab:cyan', 1.8)):
            ax.plot(*view.predicted[index].clip(0, (width - 1, height - 1)), 'x', color=colour, mew=thick, ms=7,
                    scalex=False, scaley=False)
    note = dict(transform=ax.transAxes, fontsize=7, va='bottom',
                path_effects=[withStroke(linewidth=1.8, foreground='black')])  # maps may be bright there
    ax.text(0.03, 0.02, f'score {view.scores[index]:.2f}', ha='left', color='tab:cyan', **note)
    if view.annotated:
        text = 'no label' if not view.visible[index] > 0 else 'outside' if np.isnan(value) else f'{value:.2f}'
        ax.text(0.97, 0.02, text, ha='right', color='white', **note)
