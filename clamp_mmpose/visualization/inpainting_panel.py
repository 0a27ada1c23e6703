"""Pictures and numbers of :mod:`inpainting`."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .inpainting import HIDDEN, OTHER_POSE, WITH_POSE, WITHOUT_POSE, Inpainting

INPAINTING_COLUMNS = ('image', 'mask side', 'patch', 'error', 'loss')
_ROWS = {
    HIDDEN: 'missing patch',
    WITH_POSE: 'painted with pose',
    WITHOUT_POSE: 'painted without pose',
    OTHER_POSE: 'painted with another pose',
}
_NOTES = {
    WITH_POSE: '{} self-supervised heatmaps\nof the whole image',
    WITHOUT_POSE: 'zeros for the heatmaps',
    OTHER_POSE: 'heatmaps of another image',
}
_LINES = {  # colour, and where its numbers stand, in points
    HIDDEN: ('0.5', 5),
    WITHOUT_POSE: ('tab:orange', 5),
    OTHER_POSE: ('tab:green', None),
    WITH_POSE: ('tab:blue', -13),
}


def draw_inpainting(inpainting: Inpainting) -> Figure:
    """A column per mask side; rows: the missing patch, and what is painted with the pose, without, and with another.

    In front stand the image and the heatmaps that the network is given.
    """
    kinds = [kind for kind in _ROWS if kind in (HIDDEN, *inpainting.heatmaps)]
    columns = 1 + len(inpainting.patches)
    height, width = inpainting.image.shape[:2]
    figure = Figure(figsize=(2.3 * columns, (2.3 * height / width + 0.3) * len(kinds) + 0.9), layout='constrained')
    axes = figure.subplots(len(kinds), columns, squeeze=False)
    for kind, row in zip(kinds, axes):
        heatmaps = inpainting.heatmaps.get(kind)
        row[0].imshow(inpainting.image if heatmaps is None else colour_heatmaps(inpainting.image, heatmaps))
        row[0].set_ylabel(_ROWS[kind], fontsize=9)
        row[0].set_xlabel(_NOTES.get(kind, '').format(0 if heatmaps is None else len(heatmaps)), fontsize=8)
        for (side, patch), ax in zip(inpainting.patches.items(), row[1:]):
            painted = inpainting.painted[side][kind]
            ax.imshow(painted.image)
            ax.set_xlabel(f'error {painted.error:.1f}', fontsize=9)
            if kind != HIDDEN:
                ax.add_patch(Rectangle((patch.left - 0.5, patch.top - 0.5), patch.right - patch.left,
                                       patch.bottom - patch.top, fill=False, ec='white', lw=0.8, ls=(0, (4, 4))))
    for ax, title in zip(axes[0], ['image', *(f'side {side:g}' for side in inpainting.patches)]):
        ax.set_title(title, fontsize=11)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    figure.suptitle(inpainting.name, fontsize=10)
    figure.supxlabel(f'{width}x{height} pixels; error: mean difference of the missing pixels, of 255', fontsize=8)
    return figure


def draw_inpainting_errors(inpaintings: Sequence[Inpainting]) -> Figure:
    """The error of the missing pixels against the size of the patch, for each way to fill it, over several images."""
    sides = sorted(inpaintings[0].patches)
    figure = Figure(figsize=(5.2, 3.8), layout='constrained')
    ax = figure.subplots()
    kinds = inpaintings[0].painted[sides[0]]
    for kind, (colour, offset) in _LINES.items():
        if kind not in kinds:
            continue
        values = np.array([[each.painted[side][kind].error for side in sides] for each in inpaintings])
        ax.plot(sides, values.mean(0), 'o-', color=colour, label=kind)
        for side, value in zip(sides, values.mean(0) if offset else ()):
            ax.annotate(f'{value:.1f}', (side, value), (0, offset), textcoords='offset points', ha='center', fontsize=8)
    ax.set(xticks=sides, xlabel='side of the missing patch, as a share of the image',
           ylabel='mean error of its pixels, of 255')
    ax.margins(0.08, 0.15)
    ax.legend(fontsize=9)
    ax.set_title(f'mean of {len(inpaintings)} images', fontsize=10)
    return figure


def inpainting_table(inpaintings: Sequence[Inpainting]) -> Iterator[list]:
    """A row per instance, mask side and filling of the patch, as INPAINTING_COLUMNS names them."""
    for inpainting in inpaintings:
        for side, fillings in inpainting.painted.items():
            for kind, painted in fillings.items():
                yield [inpainting.name, f'{side:g}', kind, f'{painted.error:.4g}', f'{painted.loss:.4g}']


def colour_heatmaps(image: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """``image`` (H, W, 3), dark and grey, under ``heatmaps`` (M, h, w), each in a colour of its own.

    Which map has which colour means nothing: self-supervised maps are those of no keypoint in particular.
    """
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] / 255
    colours = matplotlib.colormaps['hsv'](np.arange(len(heatmaps)) / max(len(heatmaps), 1))[:, :3]
    light = np.zeros((height, width, 3))
    for values, colour in zip(heatmaps, colours):
        values = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
        light = np.maximum(light, values.clip(0, 1) ** 2 * colour)
    return (0.4 * grey + light).clip(0, 1)
