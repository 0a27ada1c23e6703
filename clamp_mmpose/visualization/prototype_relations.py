"""Fig. 6 of LOFR: how its pose prototypes are related, by their inner products."""
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmengine.dataset import BaseDataset, pseudo_collate
from mmpose.models.pose_estimators.base import BasePoseEstimator
from torch import Tensor

from ..models.layers import full_precision

# What is shown -> how it is called beside the colours.
PRODUCTS = dict(
    cosine='cosine of the prototypes (inner product of unit vectors)',
    dot='inner product of the prototypes',
)
RELATION_COLUMNS = ('prototypes', 'product', 'keypoint', 'relation', 'highest')
_REQUIRED = ('read', 'activation_maps', 'reppg')
_VECTORS, _PROTOTYPES, _QUERIES = 'of the image (Eq. 2)', 'related along the skeleton (Eq. 10)', 'learned queries'
_SIDES = dict(left='tab:blue', l='tab:blue', right='tab:red', r='tab:red')


def missing_for_prototypes(head: torch.nn.Module | None) -> list[str]:
    """What a head lacks to have pose prototypes, in words; empty if nothing."""
    return [name for name in _REQUIRED if not hasattr(head, name)]


@torch.no_grad()
def prototype_products(model: BasePoseEstimator, dataset: BaseDataset, indices: Sequence[int],
                       kind: str = 'cosine') -> dict[str, np.ndarray]:
    """Inner products of the prototypes of any two keypoints, (K, K), the mean over instances of a dataset.

    Prototypes belong to an image: before and behind the graph convolutions. Those of a model without RePPG are learned
    queries, the same for all images. ``kind``: a key of PRODUCTS.
    """
    if kind not in PRODUCTS:
        raise ValueError(f"products='{kind}' must be one of {', '.join(PRODUCTS)}")
    if not indices:
        raise ValueError('indices=[] must name at least one instance')
    head, total = model.head, {}
    for index in indices if head.reppg is not None else indices[:1]:
        batch = model.data_preprocessor(pseudo_collate([dataset[index]]), False)
        feats = model.extract_feat(batch['inputs'])
        found = {_QUERIES if head.reppg is None else _PROTOTYPES: head.read(feats).prototypes}
        if head.reppg is not None:
            keypoint_maps = head.activation_maps(feats[-1])[1]
            found = {_VECTORS: head.reppg.keypoint_vectors(feats[-1], keypoint_maps), **found}
        for name, vectors in found.items():
            total.setdefault(name, []).append(_products(full_precision(vectors)[0], kind))
    return {name: np.mean(products, axis=0) for name, products in total.items()}


def draw_prototypes(panels: dict[str, np.ndarray], names: Sequence[str], dataset_meta: dict, *, kind: str,
                    title: str = '') -> Figure:
    """The (K, K) matrices of ``panels``, by title, two in a row, each with colours of its own.

    The colours span what lies off the diagonal, which is left grey: it tells nothing of relations, and the rest may be
    close together. Squares mark the links of the skeleton, diamonds the same keypoint on the other side of the body,
    and a dot the highest of each row. Names of the left and of the right are coloured.
    """
    K, cell = len(names), 0.27
    links, mirrored = _links(dataset_meta), _mirrored(dataset_meta)
    across = min(len(panels), 2)
    down = math.ceil(len(panels) / across)
    figure = Figure(figsize=(max((cell * K + 1.7) * across + 1.3, 6), (max(cell * K, 1.5) + 2) * down + 0.7),
                    layout='constrained')
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for ax in axes[len(panels):]:
        ax.set_visible(False)
    for place, (ax, (name, panel)) in enumerate(zip(axes, panels.items())):
        values = np.where(np.eye(K, dtype=bool), np.nan, panel)
        ax.set_facecolor('0.75')
        image = ax.imshow(values, cmap='viridis')
        _mark(ax, values, links, mirrored)
        near = sum(_relation(row, column, links, mirrored) != '' for row, column in enumerate(_highest(values)))
        ax.set_title(f'{name}\nmean off the diagonal {_mean(values):.2f}\nhighest of the row is linked or mirrored: '
                     f'{near} of {K}', fontsize=9)
        ax.set_xticks(range(K), names, rotation=90, fontsize=8)
        figure.colorbar(image, ax=ax, fraction=0.04, pad=0.02).ax.tick_params(labelsize=8)
        ax.set_yticks(range(K), [''] * K if place % across else names, fontsize=8)
        _colour_sides([*ax.get_xticklabels(), *ax.get_yticklabels()])
    figure.suptitle(f'{title}: {PRODUCTS[kind]}' if title else PRODUCTS[kind], fontsize=10)
    figure.supxlabel('square: linked in the skeleton; diamond: left and right; dot: highest of the row', fontsize=8)
    return figure


def relation_table(panels: dict[str, np.ndarray], names: Sequence[str], dataset_meta: dict, *,
                   kind: str) -> Iterator[list]:
    """A row per matrix and keypoint: RELATION_COLUMNS, where ``highest`` is the keypoint it is most related to and
    ``relation`` what that is to it in the body, and the row of the matrix."""
    links, mirrored = _links(dataset_meta), _mirrored(dataset_meta)
    for name, panel in panels.items():
        highest = _highest(np.where(np.eye(len(names), dtype=bool), np.nan, panel))
        for row, column in enumerate(highest):
            yield [name, kind, names[row], _relation(row, column, links, mirrored), names[column],
                   *(f'{value:.6g}' for value in panel[row])]


def _products(vectors: Tensor, kind: str) -> np.ndarray:
    """vectors: (K, D)."""
    if kind == 'cosine':
        vectors = F.normalize(vectors, dim=1)
    return (vectors @ vectors.T).cpu().numpy()


def _links(dataset_meta: dict) -> set[tuple[int, int]]:
    links = [tuple(map(int, link)) for link in dataset_meta.get('skeleton_links') or ()]
    return {*links, *(link[::-1] for link in links)}


def _mirrored(dataset_meta: dict) -> set[tuple[int, int]]:
    flip = dataset_meta.get('flip_indices') or ()
    return {(index, int(other)) for index, other in enumerate(flip) if index != other}


def _relation(row: int, column: int, links: set, mirrored: set) -> str:
    """Of two keypoints in the body: '' if there is none."""
    return ' and '.join(word for word, pairs in (('linked', links), ('mirrored', mirrored)) if (row, column) in pairs)


def _highest(values: np.ndarray) -> list[int]:
    """Of each row, where its highest value off the diagonal is."""
    return np.nanargmax(values, axis=1).tolist()


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values))


def _mark(ax: Axes, values: np.ndarray, links: set, mirrored: set) -> None:
    for pairs, marker in ((links, 's'), (mirrored, 'D')):
        if pairs:
            rows, columns = zip(*pairs)
            for colour, width in (('black', 2.2), ('white', 1.0)):
                ax.plot(columns, rows, marker, mfc='none', mec=colour, ms=11 if marker == 's' else 8, mew=width)
    ax.plot(_highest(values), range(len(values)), 'o', mfc='white', mec='black', ms=4)


def _colour_sides(labels: Sequence) -> None:
    for label in labels:
        words = label.get_text().lower().replace('_', ' ').split()
        label.set_color(next((colour for side, colour in _SIDES.items() if side in words), 'black'))
