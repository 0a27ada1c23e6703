"""The picture of a trained model: ground truth beside prediction, and where the prompts find their keypoints."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from .pose_view import PoseView
from .score_map import show_map


def draw_pose_panel(views: Sequence[PoseView],
                    keypoints: Sequence[int],
                    names: Sequence[str],
                    dataset_meta: dict,
                    *,
                    kpt_thr: float = 0.3) -> Figure:
    """One row per instance: ground truth, prediction, and the score maps of ``keypoints`` (places in ``names``).

    The score maps are those the head's spatial loss sees, or the neck's where the head does not upsample them; a model
    without score maps gets the first two columns. Skeleton and colours are the dataset's. Predictions with a score
    below ``kpt_thr`` are left out. Images without labels are shown as they are.
    """
    titles = ['ground truth' if any(view.annotated for view in views) else 'image', 'prediction']
    if views[0].score_map is not None:
        titles += [f'score map\n{names[index]}' for index in keypoints]
    aspects = [view.image.shape[0] / view.image.shape[1] for view in views]
    figure = Figure(figsize=(2.2 * len(titles), 2.25 * sum(aspects) + 0.5), layout='constrained')
    axes = figure.subplots(len(views), len(titles), squeeze=False, height_ratios=aspects)
    for view, row in zip(views, axes):
        row[0].imshow(draw_labels(view, dataset_meta))
        row[1].imshow(draw_pose(view, view.predicted, view.scores, dataset_meta, kpt_thr))
        maps = view.score_map if view.upsampled is None else view.upsampled
        for ax, index in zip(row[2:], keypoints):
            show_map(ax, view, maps[index], index)
    for ax, title in zip(axes[0], titles):
        ax.set_title(title, fontsize=11)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    return figure


def draw_labels(view: PoseView, dataset_meta: dict) -> np.ndarray:
    """The crop (H, W, 3) with the labelled keypoints, whatever the threshold of predictions is."""
    return draw_pose(view, view.keypoints, (view.visible > 0).astype(float), dataset_meta, kpt_thr=0.5)


def draw_pose(view: PoseView, keypoints: np.ndarray, scores: np.ndarray, dataset_meta: dict,
              kpt_thr: float) -> np.ndarray:
    """The crop (H, W, 3) with ``keypoints`` (K, 2) in its pixels, those whose score is above ``kpt_thr``."""
    height, width = view.image.shape[:2]
    radius = max(height // 70, 2)
    # MMPose's default backend, OpenCV, fails with NumPy 2.4 (a radius as an array), and has jagged lines.
    visualizer = PoseLocalVisualizer(backend='matplotlib', radius=radius, line_width=max(height // 110, 1))
    visualizer.set_dataset_meta(dataset_meta)
    # A point outside would widen the picture, and one at the border needs room for its disc.
    room = radius + 2
    inside = ((keypoints >= 0) & (keypoints < (width, height))).all(-1)
    instances = InstanceData(
        keypoints=keypoints[None].astype(np.float32) + room,
        keypoints_visible=np.where(inside, scores, -np.inf)[None].astype(np.float32))
    picture = visualizer.add_datasample(
        'pose', np.pad(view.image, ((room, room), (room, room), (0, 0)), mode='edge'),
        PoseDataSample(pred_instances=instances), draw_gt=False, kpt_thr=kpt_thr)
    return picture[room:room + height, room:room + width]
