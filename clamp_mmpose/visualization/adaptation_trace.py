"""What the steps of test-time adaptation do to the keypoints of single images."""
from __future__ import annotations

import copy
import dataclasses

import numpy as np
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from mmpose.structures import PoseDataSample

from ..evaluation.pose_errors import to_input_pixels
from ..models.pose_estimators import MeTTAPoseEstimator, TestTimeAdaptation
from .pose_view import PoseView, view_sample


@dataclasses.dataclass(frozen=True)
class AdaptationTrace:
    """The keypoints of one instance after 0, 1, ..., S steps of adaptation.

    ``points`` (S + 1, K, 2), in pixels of the image, and ``scores`` (S + 1, K); ``error`` and ``moved`` (S + 1, K), the
    distances to the labels, NaN where there is none, and to step 0, both in input pixels; ``losses`` (S + 1, ), of the
    auxiliary task. ``guarded``: these are steps that the guard does not accept, and the model keeps what it predicts at
    step 0. ``view`` is of step 0.
    """

    view: PoseView
    points: np.ndarray
    scores: np.ndarray
    error: np.ndarray
    moved: np.ndarray
    losses: np.ndarray
    guarded: bool


@torch.no_grad()
def trace_adaptation(model: MeTTAPoseEstimator,
                     dataset: BaseDataset,
                     index: int,
                     *,
                     steps: int,
                     lr: float | None = None,
                     guard: bool = True,
                     height: int = 384) -> AdaptationTrace:
    """Adapts the model to one instance from its stored parameters, which stay as they are.

    Arguments as in :class:`TestTimeAdaptation`; ``height`` as in :func:`view_instances`.
    """
    batch = model.data_preprocessor(pseudo_collate([dataset[index]]), False)

    def predict(guard: bool) -> PoseDataSample:
        before = model.adaptation
        model.adaptation = TestTimeAdaptation(steps, lr=lr, guard=guard, record=True)
        try:
            return model.predict(batch['inputs'], copy.deepcopy(batch['data_samples']))[0]
        finally:
            model.adaptation = before

    # With the guard, the keypoints of a step that it does not accept are those of step 0.
    guarded = guard and predict(True).adaptation['guarded']
    sample = predict(False)
    instances = sample.adapted_instances
    points = np.stack([found.keypoints[0, :, :2] for found in instances])
    sample.pred_instances = instances[0]
    return AdaptationTrace(
        view=view_sample(sample, height=height),
        points=points,
        scores=np.stack([found.keypoint_scores[0] for found in instances]),
        error=_errors(points, sample),
        moved=_distances(points, points[:1], sample),
        losses=np.array(sample.adaptation['losses']),
        guarded=guarded)


def _errors(points: np.ndarray, sample: PoseDataSample) -> np.ndarray:
    truth = sample.gt_instances
    if 'keypoints' not in truth:
        return np.full(points.shape[:2], np.nan)
    visible = np.asarray(truth.keypoints_visible).reshape(*truth.keypoints.shape[:2], -1)[:1, :, 0] > 0
    return np.where(visible, _distances(points, truth.keypoints[:1, :, :2], sample), np.nan)


def _distances(points: np.ndarray, others: np.ndarray, sample: PoseDataSample) -> np.ndarray:
    """(S + 1, K), in input pixels."""
    points, others = (to_input_pixels(each, sample.metainfo) for each in (points, others))
    return np.linalg.norm(points - others, axis=-1)
