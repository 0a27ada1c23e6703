"""Score maps over the crop they belong to, and a page of one instance's maps."""
from __future__ import annotations

from collections.abc import Sequence

import cv2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .pose_view import PoseView

_ROWS = dict(
    score_map='cosine with the prompt\n(neck)',
    upsampled='upsampled\n(spatial loss)',
    heatmap='heatmap\n(head)',
)


def draw_score_maps(view: PoseView, keypoints: Sequence[int], names: Sequence[str]) -> Figure:
    """One column per keypoint; one row each for the neck's cosines, their upsampling and the head's heatmap.

    ``keypoints`` are places in ``names``. Raises ValueError if the ``view`` is of a model without a score map.
    """
    rows = [row for row in _ROWS if getattr(view, row) is not None]
    if not rows:
        raise ValueError(f'the model makes no score map of {view.name}; one with PromptLearnerNeck does')
    aspect = view.image.shape[0] / view.image.shape[1]
    figure = Figure(figsize=(1.9 * len(keypoints) + 0.7, (1.9 * aspect + 0.1) * len(rows) + 0.4), layout='constrained')
    axes = figure.subplots(len(rows), len(keypoints), squeeze=False)
    for row, row_axes in zip(rows, axes):
        for index, ax in zip(keypoints, row_axes):
            show_map(ax, view, getattr(view, row)[index], index)
        row_axes[0].set_ylabel(_ROWS[row], fontsize=9)
    for index, ax in zip(keypoints, axes[0]):
        ax.set_title(names[index], fontsize=11)
    return figure


def show_map(ax: Axes, view: PoseView, values: np.ndarray, index: int) -> None:
    """``values`` (h, w) over the crop, with their peak in figures; a ring marks the label.

    A keypoint without a label has no ring, and says so.
    """
    ax.imshow(blend(view.image, values))
    mark_peak_and_label(ax, view, values, index)


def mark_peak_and_label(ax: Axes, view: PoseView, values: np.ndarray, index: int) -> None:
    """Writes the peak of ``values`` into the picture, and puts a ring around the label of keypoint ``index``."""
    mark_label(ax, view, index)
    note = dict(transform=ax.transAxes, color='white', fontsize=8, va='bottom')
    ax.text(0.03, 0.02, f'peak {values.max():.2f}', ha='left', **note)
    if view.annotated and not view.visible[index] > 0:
        ax.text(0.97, 0.02, 'no label', ha='right', **note)
    ax.set(xticks=[], yticks=[])


def mark_label(ax: Axes, view: PoseView, index: int) -> None:
    """Puts a ring around the label of keypoint ``index``, if it has one."""
    if view.visible[index] > 0:
        for colour, width in (('black', 3.0), ('white', 1.4)):
            ax.plot(*view.keypoints[index], 'o', mfc='none', mec=colour, mew=width, ms=13, scalex=False, scaley=False)


def blend(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``image`` (H, W, 3) in grey under the colours of ``values`` (h, w), which are the more opaque the higher.

    Dark is the median, because a keypoint is small, and bright the peak. A peak less than 0.1 above the median stays
    dark: stretched, it would make noise look like an answer.
    """
    height, width = image.shape[:2]
    low = np.median(values)
    strength = ((values - low) / max(values.max() - low, 0.1)).clip(0, 1)
    return tint(image, cv2.resize(strength.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))


def tint(image: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """``image`` (H, W, 3) in grey under the colours of ``strength`` (H, W) in 0 to 1, the more opaque the higher."""
    colours = matplotlib.colormaps['inferno'](strength)[..., :3]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] / 255
    opacity = 0.45 + 0.45 * strength[..., None]
    return (1 - opacity) * grey + opacity * colours
