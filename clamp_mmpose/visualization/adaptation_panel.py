"""Pictures and numbers of :mod:`adaptation_trace`."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .adaptation_trace import AdaptationTrace
from .masking_panel import nanmean
from .pose_panel import draw_labels, draw_pose

ADAPTATION_COLUMNS = ('image', 'step', 'auxiliary loss', 'guarded', 'keypoint', 'x', 'y', 'score', 'error', 'moved')


def draw_adaptation(traces: Sequence[AdaptationTrace], dataset_meta: dict, *, kpt_thr: float = 0.3) -> Figure:
    """One row per instance: ground truth, the pose before the first step and after the last, the path of each keypoint
    between, and the auxiliary loss after each step.

    Keypoints that score below ``kpt_thr`` at step 0 are left out of the drawing, and only of that. What the guard does
    not accept is drawn all the same, and said to be.
    """
    steps = len(traces[0].losses) - 1
    annotated = any(trace.view.annotated for trace in traces)
    aspects = [trace.view.image.shape[0] / trace.view.image.shape[1] for trace in traces]
    titles = ['ground truth' if annotated else 'image', 'step 0', f'step {steps}', 'paths of the keypoints',
              'auxiliary loss']
    figure = Figure(figsize=(2.7 * len(titles), 2.7 * sum(aspects) + 0.55 * len(traces) + 0.6), layout='constrained')
    axes = figure.subplots(len(traces), len(titles), squeeze=False, height_ratios=aspects)
    for trace, row in zip(traces, axes):
        view = trace.view
        row[0].imshow(draw_labels(view, dataset_meta))
        row[0].set_xlabel(view.name, fontsize=8)
        shown = (trace.scores[0] >= kpt_thr).astype(float)
        for step, ax in ((0, row[1]), (steps, row[2])):
            ax.imshow(draw_pose(view, view.to_crop(trace.points[step]), shown, dataset_meta, kpt_thr=0.5))
            ax.set_xlabel(_describe(trace, step), fontsize=8)
        if trace.guarded:
            row[2].text(0.5, 0.98, 'guarded: step 0 is kept', color='white', fontsize=9, ha='center', va='top',
                        transform=row[2].transAxes, bbox=dict(fc='tab:red', ec='none', pad=2))
            for spine in row[2].spines.values():
                spine.set(color='tab:red', lw=2)
        _draw_paths(row[3], trace, dataset_meta, kpt_thr)
        for ax in row[:4]:
            ax.set(xticks=[], yticks=[])
        row[4].plot(range(steps + 1), trace.losses, 'o-', ms=4, color='tab:red' if trace.guarded else 'tab:blue')
        row[4].axhline(trace.losses[0], color='0.7', lw=0.8, ls='--')
        row[4].xaxis.set_major_locator(MaxNLocator(integer=True))
        row[4].tick_params(labelsize=8)
        row[4].set_xlabel('step', fontsize=8)
    for ax, title in zip(axes[0], titles):
        ax.set_title(title, fontsize=11)
    words = (f'pixels of the input; drawn: keypoints that score {kpt_thr:g} or more at step 0; paths: from the ring, '
             'before, to the disc, after')
    figure.supxlabel(words + ('; white cross: label' if annotated else ''), fontsize=8)
    return figure


def adaptation_table(traces: Sequence[AdaptationTrace], names: Sequence[str]) -> Iterator[list]:
    """A row per instance, step and keypoint, as ADAPTATION_COLUMNS names them; empty where nothing is known.

    'x' and 'y' are in pixels of the image, 'error' and 'moved' in those of the input.
    """
    for trace in traces:
        moved = trace.moved
        for step, loss in enumerate(trace.losses):
            for index, name in enumerate(names):
                numbers = (*trace.points[step, index], trace.scores[step, index], trace.error[step, index],
                           moved[step, index])
                yield [trace.view.name, step, f'{loss:.6g}', int(trace.guarded), name,
                       *(f'{value:.5g}' if np.isfinite(value) else '' for value in numbers)]


def _draw_paths(ax: Axes, trace: AdaptationTrace, dataset_meta: dict, kpt_thr: float) -> None:
    view = trace.view
    paths = np.stack([view.to_crop(points) for points in trace.points])  # (S + 1, K, 2)
    colours = np.asarray(dataset_meta['keypoint_colors']) / 255
    shown = (trace.scores[0] >= kpt_thr) & np.isfinite(paths).all((0, 2))
    ax.imshow((0.45 * view.image).astype(np.uint8))
    labelled = view.visible > 0
    ax.scatter(*view.keypoints[labelled].T, marker='+', c='white', s=26, linewidths=0.7)
    for path, colour in zip(paths[:, shown].swapaxes(0, 1), colours[shown]):
        ax.add_collection(LineCollection([path], colors=[colour], linewidths=1.6), autolim=False)
        ax.plot(*path[0], 'o', mfc='none', mec=colour, ms=7, mew=1.2)
        ax.plot(*path[1:-1].T, '.', color=colour, ms=3)
        ax.plot(*path[-1], 'o', color=colour, ms=4)
    height, width = view.image.shape[:2]
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    words = f'{shown.sum()} of {len(shown)} keypoints'
    if shown.any():
        words += f',\nmoved by {trace.moved[-1, shown].mean():.1f}, at most {trace.moved[-1, shown].max():.1f}'
    ax.set_xlabel(words, fontsize=8)


def _describe(trace: AdaptationTrace, step: int) -> str:
    error = nanmean(trace.error[step], 0)
    return '' if np.isnan(error) else f'mean error {error:.2f}'
