"""Fig. 5 and 6 of CLAMP: ground truth and the predictions of several models side by side."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from mmpose.evaluation.functional import keypoint_epe
from mmpose.evaluation.functional.nms import oks_iou
from mmpose.structures import PoseDataSample

from .pose_panel import draw_labels, draw_pose
from .pose_view import PoseView


def draw_comparison(predictions: dict[str, Sequence[PoseView]],
                    dataset_meta: dict,
                    *,
                    areas: Sequence[float | None],
                    kpt_thr: float = 0.3) -> Figure:
    """One row per instance: ground truth, then the prediction of each model, with its object keypoint similarity.

    ``predictions`` gives each model's views of the same instances, by its title. All are drawn on the crop of the last.
    ``areas`` are those of COCO's annotations, in pixels of the image; where one is None, the mean error in pixels
    stands for the similarity. Predictions with a score below ``kpt_thr`` are left out of the drawing, and only of that.
    """
    crops = [*predictions.values()][-1]
    sigmas = dataset_meta.get('sigmas')
    aspects = [crop.image.shape[0] / crop.image.shape[1] for crop in crops]
    columns = 1 + len(predictions)
    figure = Figure(figsize=(2.6 * columns, 2.6 * sum(aspects) + 0.3 * len(crops) + 0.5), layout='constrained')
    axes = figure.subplots(len(crops), columns, squeeze=False, height_ratios=aspects)
    for crop, row in zip(crops, axes):
        row[0].imshow(draw_labels(crop, dataset_meta))
        row[0].set_xlabel(crop.name, fontsize=8)
    annotated = any(crop.annotated for crop in crops)
    axes[0][0].set_title('ground truth' if annotated else 'image', fontsize=11)
    for (title, views), column in zip(predictions.items(), axes.T[1:]):
        for view, crop, area, ax in zip(views, crops, areas, column):
            points = crop.to_crop(view.sample.pred_instances.keypoints[0, :, :2])
            ax.imshow(draw_pose(crop, points, view.scores, dataset_meta, kpt_thr))
            ax.set_xlabel(describe_accuracy(view.sample, area, sigmas), fontsize=9)
        column[0].set_title(title, fontsize=11)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    note = '; OKS: all labelled keypoints' if annotated else ''
    figure.supxlabel(f'drawn: predictions with a score above {kpt_thr:g}{note}', fontsize=8)
    return figure


def describe_accuracy(sample: PoseDataSample, area: float | None, sigmas: np.ndarray | None) -> str:
    """The accuracy of a prediction in words; '' for one of an image without labels."""
    if 'keypoints' not in sample.gt_instances:
        return ''
    if not _labelled(sample).any():
        return 'no label'
    if area is None or sigmas is None:
        return f'mean error {mean_error(sample):.1f} px'
    return f'OKS {compute_oks(sample, area, sigmas):.2f}'


def compute_oks(sample: PoseDataSample, area: float, sigmas: np.ndarray) -> float:
    """COCO's object keypoint similarity of a prediction, over the labelled keypoints; NaN if there is none.

    MMPose's ``oks_iou``, given the labelled keypoints and the annotation's ``area`` alone.
    """
    labelled = _labelled(sample)
    if not labelled.any():
        return float('nan')
    truth, predicted = (instances.keypoints[0, :, :2].astype(np.float64)[labelled]
                        for instances in (sample.gt_instances, sample.pred_instances))
    truth, predicted = (np.insert(points, 2, 1.0, axis=1).ravel() for points in (truth, predicted))
    return float(oks_iou(truth, predicted[None], area, np.array([area]), np.asarray(sigmas)[labelled])[0])


def mean_error(sample: PoseDataSample) -> float:
    """Mean distance between prediction and labels in pixels of the image."""
    return float(keypoint_epe(sample.pred_instances.keypoints[:1, :, :2], sample.gt_instances.keypoints[:1, :, :2],
                              _labelled(sample)[None]))


def _labelled(sample: PoseDataSample) -> np.ndarray:
    visible = sample.gt_instances.keypoints_visible
    return visible.reshape((*sample.gt_instances.keypoints.shape[:2], -1))[0, :, 0] > 0
