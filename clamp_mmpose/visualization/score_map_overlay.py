"""Fig. 4 of CLAMP: the score map of every keypoint name over the picture."""
from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .pose_view import PoseView
from .score_map import mark_peak_and_label

# A picture takes this part of the brightness, so that a full score on black is brighter than white without a score.
_PICTURE = 0.4
_LETTER = 0.065  # width of one beside the colour bar, inches


def draw_score_map_overlay(view: PoseView,
                           keypoints: Sequence[int],
                           names: Sequence[str],
                           *,
                           raw: bool = False,
                           limits: tuple[float, float] | None = None) -> Figure:
    """The crop, then one cell per keypoint: the brighter, the higher the score. A ring marks the label.

    Shows the score map as the head's spatial loss sees it; the neck's cosines with ``raw``, or where the head does not
    upsample them. ``keypoints`` are places in ``names``. ``limits``: the scores that are dark and bright in all cells;
    those of :func:`score_limits` for this view if None. Raises ValueError for a view of a model without a score map.
    """
    values, title = _choose_maps(view, raw)
    low, high = limits or score_limits([view], raw=raw)
    aspect = view.image.shape[0] / view.image.shape[1]
    cells = 1 + len(keypoints)
    columns = min(math.ceil(math.sqrt(1.8 * aspect * cells)), cells)
    rows = math.ceil(cells / columns)
    figure = Figure(figsize=(1.8 * columns + 0.9, (1.8 * aspect + 0.25) * rows + 0.4), layout='constrained')
    axes = figure.subplots(rows, columns, squeeze=False)
    axes.flat[0].imshow(view.image)
    axes.flat[0].set_title('image', fontsize=10)
    for ax, index in zip(axes.flat[1:], keypoints):
        ax.imshow(lighten(view.image, values[index], low, high))
        mark_peak_and_label(ax, view, values[index], index)
        ax.set_title(names[index], fontsize=10)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    for ax in axes.flat[cells:]:
        ax.set_visible(False)
    bar = figure.colorbar(ScalarMappable(Normalize(low, high), 'gray'), ax=axes, aspect=30, fraction=0.03, pad=0.01)
    # A single row of cells is lower than the words are long.
    width = round(1.8 * aspect * rows / _LETTER)
    bar.set_label(textwrap.fill(f'{title}, the same scale in all cells', width), fontsize=9)
    figure.suptitle(view.name, fontsize=9)
    return figure


def score_limits(views: Sequence[PoseView], *, raw: bool = False) -> tuple[float, float]:
    """The scores to draw dark and bright in all of the ``views``, so that these can be compared.

    From 0, or from the median of cosines, which need not have a zero of their own, to the highest score. That is at
    least 0.1 above the lower: stretched further, noise would look like an answer.
    """
    values = [_choose_maps(view, raw)[0] for view in views]
    upsampled = not raw and views[0].upsampled is not None
    low = 0.0 if upsampled else float(np.median(np.concatenate([maps.ravel() for maps in values])))
    return low, max(float(max(maps.max() for maps in values)), low + 0.1)


def lighten(image: np.ndarray, values: np.ndarray, low: float, high: float) -> np.ndarray:
    """``image`` (H, W, 3), darkened, under the light of ``values`` (h, w): none at ``low``, full at ``high``."""
    height, width = image.shape[:2]
    light = ((values - low) / (high - low)).clip(0, 1).astype(np.float32)
    light = cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR)
    return (_PICTURE * image / 255 + (1 - _PICTURE) * light[..., None]).clip(0, 1)


def _choose_maps(view: PoseView, raw: bool) -> tuple[np.ndarray, str]:
    if view.score_map is None:
        raise ValueError(f'the model makes no score map of {view.name}; one with PromptLearnerNeck or DenseCLIPNeck '
                         'does')
    if raw or view.upsampled is None:
        return view.score_map, 'cosine with the prompt'
    return view.upsampled, 'score, upsampled as the spatial loss sees it'
