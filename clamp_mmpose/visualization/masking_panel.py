"""Pictures and numbers of :mod:`masking`: poses with parts of the body hidden, and what that does to each keypoint."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .masking import MaskedPose
from .pose_panel import draw_pose

MASKING_COLUMNS = ('image', 'hidden part', 'keypoint', 'inside', 'error before', 'error after', 'moved')
_NOTHING = 'nothing hidden'


def draw_masking(rows: Sequence[Mapping[str | None, MaskedPose]], dataset_meta: dict) -> Figure:
    """One row per instance, one column per hidden part, the first without any.

    A red line leads from each label to what is predicted for it.
    """
    aspects = [row[None].view.image.shape[0] / row[None].view.image.shape[1] for row in rows]
    columns = len(rows[0])
    figure = Figure(figsize=(2.6 * columns, 2.6 * sum(aspects) + 0.45 * len(rows) + 0.7), layout='constrained')
    axes = figure.subplots(len(rows), columns, squeeze=False, height_ratios=aspects)
    for row, cells in zip(rows, axes):
        for ax, pose in zip(cells, row.values()):
            view = pose.view
            ax.imshow(draw_pose(view, view.predicted, (view.scores > 0).astype(float), dataset_meta, kpt_thr=0.5))
            measured = np.isfinite(pose.error)
            lines = np.stack([view.keypoints, view.predicted], axis=1)[measured]
            ax.add_collection(LineCollection(lines, colors='red', linewidths=1.2), autolim=False)
            ax.set_xlabel(_describe(pose, row[None]), fontsize=8)
            ax.set(xticks=[], yticks=[])
        cells[0].set_ylabel(row[None].view.name, fontsize=8)
    for ax, part in zip(axes[0], rows[0]):
        ax.set_title(_NOTHING if part is None else part, fontsize=11)
    if any(pose.view.annotated for row in rows for pose in row.values()):
        figure.supxlabel('pixels of the input; red: from label to prediction', fontsize=8)
    return figure


def draw_masking_errors(rows: Sequence[Mapping[str | None, MaskedPose]], names: Sequence[str]) -> Figure:
    """A table of keypoints and hidden parts: the mean error over the instances, and that of all keypoints.

    A framed cell is of a keypoint that was itself hidden in most of the instances. Without labels, the cells say how
    far the prediction has moved. Keypoints that are in no caption, or not labelled, have no row.
    """
    annotated = any(pose.view.annotated for row in rows for pose in row.values())
    parts = [part for part in rows[0] if annotated or part is not None]
    values = np.array([[pose.error if annotated else pose.moved for part, pose in row.items() if part in parts]
                       for row in rows])  # (N, parts, K)
    hidden = np.array([[pose.hidden for part, pose in row.items() if part in parts] for row in rows]).mean(0) > 0.5
    mean, rest = nanmean(values, 0), nanmean(values, (0, 2))
    shown = np.flatnonzero(np.isfinite(mean).any(0))
    table = np.concatenate([mean[:, shown].T, rest[None]])
    labels = [*(names[index] for index in shown), 'mean']
    figure = Figure(figsize=(0.95 * len(parts) + 2.6, 0.27 * len(labels) + 1.9), layout='constrained')
    ax = figure.subplots()
    top = np.nanmax(table) if np.isfinite(table).any() else 1
    image = ax.imshow(table, cmap='YlOrRd', vmin=0, vmax=max(top, 1e-6), aspect='auto')
    for (row, column), value in np.ndenumerate(table):
        ax.text(column, row, '-' if np.isnan(value) else f'{value:.1f}', ha='center', va='center', fontsize=8,
                color='white' if value > 0.6 * top else 'black')
        if row < len(shown) and hidden[column, shown[row]]:
            ax.add_patch(Rectangle((column - 0.45, row - 0.42), 0.9, 0.84, fill=False, lw=1.2))
    ax.axhline(len(shown) - 0.5, color='black', lw=1)
    ax.set_yticks(range(len(labels)), labels, fontsize=9)
    ax.set_xticks(range(len(parts)), [_NOTHING if part is None else part for part in parts], fontsize=9, rotation=30,
                  ha='left', rotation_mode='anchor')
    ax.xaxis.tick_top()
    what = 'mean error' if annotated else 'how far the prediction moves'
    figure.colorbar(image, ax=ax, pad=0.02).set_label(f'{what}, pixels of the input', fontsize=9)
    figure.supxlabel(f'{len(rows)} images; framed: the keypoint itself is hidden', fontsize=8)
    return figure


def masking_table(rows: Sequence[Mapping[str | None, MaskedPose]], names: Sequence[str]) -> Iterator[list]:
    """A row per instance, hidden part and keypoint, as MASKING_COLUMNS names them; empty where nothing is known.

    'inside' is 1 for keypoints in the hidden box.
    """
    for row in rows:
        before = row[None]
        for part, pose in row.items():
            if part is None:
                continue
            for index, name in enumerate(names):
                numbers = before.error[index], pose.error[index], pose.moved[index]
                yield [pose.view.name, part, name, int(pose.hidden[index]) if pose.box is not None else '',
                       *('' if np.isnan(value) else f'{value:.4g}' for value in numbers)]


def nanmean(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """NumPy's, without a warning where there is nothing to average."""
    there = np.isfinite(values)
    count = there.sum(axis)
    return np.where(count > 0, np.where(there, values, 0).sum(axis) / np.maximum(count, 1), np.nan)


def _describe(pose: MaskedPose, before: MaskedPose) -> str:
    if pose is not before and pose.box is None:
        return 'none of these keypoints is known'
    lacking = np.isnan(pose.moved) & np.isfinite(before.moved)
    lost = f'\n{lacking.sum()} keypoints no longer written' if lacking.any() else ''
    if pose is before:
        error = nanmean(pose.error, 0)
        return '' if np.isnan(error) else f'mean error {error:.1f}'
    if not pose.view.annotated:
        return f'moved by {nanmean(pose.moved, 0):.1f} px{lost}'
    both = np.isfinite(pose.error) & np.isfinite(before.error)
    inside, outside = both & pose.hidden, both & ~pose.hidden
    words = [f'mean error {nanmean(pose.error, 0):.1f}']
    for where, chosen in (('hidden', inside), ('the others', outside)):
        if chosen.any():
            words.append(f'{where} {before.error[chosen].mean():.1f} → {pose.error[chosen].mean():.1f}')
    return '\n'.join([words[0], ', '.join(words[1:])]) + lost
