"""PCK of instances: which of their labelled keypoints were predicted near enough."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from mmpose.evaluation.functional import keypoint_pck_accuracy
from mmpose.structures.bbox import bbox_overlaps
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def find_hits(instances: Sequence[dict],
              predictions: Sequence[dict],
              threshold: float,
              reference: tuple[int, int] | None = None) -> np.ndarray:
    """1, 0 or -1 for each keypoint of each instance, (G, K): near enough, too far, or not to be counted.

    Near enough is nearer than ``threshold`` times the longer side of the annotated box, as MMPose's ``PCKAccuracy``
    has it, or times the distance of the two ``reference`` keypoints. An unlabelled keypoint does not count, nor do
    those of an instance without a box or a labelled reference.

    The prediction of an instance is the one in the same image whose box overlaps its own, one each, such that the sum
    of the overlaps (IoU) is greatest. That does not ask how good the pose is; with annotated boxes it is the prediction
    made in this box. An instance without a prediction has missed all its keypoints.
    """
    if not instances:
        return np.zeros((0, 0), dtype=int)
    truth = np.array([entry['keypoints'] for entry in instances], dtype=np.float64).reshape(len(instances), -1, 3)
    found = pair_by_box(instances, predictions)
    hits = []
    for index, (points, entry) in enumerate(zip(truth, instances)):
        predicted = np.full_like(points[:, :2], np.inf)
        if index in found:
            predicted = np.reshape(predictions[found[index]]['keypoints'], (-1, 3))[:, :2].astype(np.float64)
        labelled = points[:, 2] > 0
        size = max(entry['bbox'][2:])
        if reference is not None:
            first, second = reference
            size = np.linalg.norm(points[first, :2] - points[second, :2]) if labelled[[first, second]].all() else 0
        norm_factor = np.full((1, 2), size if size > 0 else 0, dtype=np.float64)  # 0 does not count
        accuracy, _, _ = keypoint_pck_accuracy(
            predicted[None], points[None, :, :2], labelled[None], threshold, norm_factor)
        hits.append(accuracy)
    return np.array(hits).astype(int)


def pair_by_box(instances: Sequence[dict], predictions: Sequence[dict]) -> dict[int, int]:
    """Place of an instance -> place of its prediction, for those that have one."""
    by_image = defaultdict(lambda: ([], []))
    for side, entries in enumerate((instances, predictions)):
        for place, entry in enumerate(entries):
            by_image[entry['image_id']][side].append(place)
    pairs = {}
    for own, other in by_image.values():
        if not own or not other:
            continue
        found, annotated = (torch.tensor([side[place]['bbox'] for place in places], dtype=torch.float64)
                            for side, places in ((predictions, other), (instances, own)))
        overlap = bbox_overlaps(_corners(found), _corners(annotated)).nan_to_num().numpy()
        for row, column in zip(*linear_sum_assignment(overlap, maximize=True)):
            if overlap[row, column] > 0:
                pairs[own[column]] = other[row]
    return pairs


def _corners(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)


def mean_hits(hits: np.ndarray) -> np.ndarray:
    """PCK over the instances, (1 + K,): the mean over keypoints, then that of each keypoint; NaN where none counts."""
    return resample_hits(hits, np.ones((1, len(hits))))[0]


def resample_hits(hits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The same with instances counted ``weights`` (B, G) times, (B, 1 + K)."""
    counted = weights @ (hits >= 0)
    share = np.divide(weights @ (hits > 0), counted, out=np.full(counted.shape, np.nan), where=counted > 0)
    return np.concatenate([nan_mean(share, axis=1)[:, None], share], axis=1)


def nan_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean of what is not NaN; NaN, without a warning, where nothing is left."""
    known = ~np.isnan(values)
    count = known.sum(axis)
    return np.divide(np.where(known, values, 0).sum(axis), count, out=np.full(count.shape, np.nan), where=count > 0)
