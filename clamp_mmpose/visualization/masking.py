"""Fig. 8 of the BLIP pose captions: a part of the body is hidden, and the pose predicted again."""
from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from mmpose.models.pose_estimators.base import BasePoseEstimator
from mmpose.structures import PoseDataSample

from ..evaluation.pose_errors import to_input_pixels
from .pose_view import PoseView, view_sample


@dataclasses.dataclass(frozen=True)
class MaskedPose:
    """One instance, predicted while ``box`` (x1, y1, x2, y2), in input pixels, is hidden; None: nothing is.

    ``hidden`` (K,): the keypoints in the box. ``error`` (K,): their distances to the labels, and ``moved`` (K,) to what
    is predicted of the whole picture, in input pixels; NaN where there is no label or no prediction. ``view`` is of the
    picture as the model saw it.
    """

    view: PoseView
    box: np.ndarray | None
    hidden: np.ndarray
    error: np.ndarray
    moved: np.ndarray


@torch.no_grad()
def predict_masked(model: BasePoseEstimator,
                   dataset: BaseDataset,
                   index: int,
                   parts: Mapping[str, Sequence[int]],
                   *,
                   margin: float = 0.08,
                   height: int = 384) -> dict[str | None, MaskedPose]:
    """Predicts an instance as it is (None) and with each of the ``parts``, lists of keypoints, hidden.

    A part's box encloses its labelled keypoints, or the predicted ones of an instance without labels, and ``margin``
    of the pose's longer side around them. It is filled with the mean colour of the model's normalisation. A part none
    of whose keypoints is known stays as it is, with ``box`` None.
    """
    batch = model.data_preprocessor(pseudo_collate([dataset[index]]), False)
    inputs, samples = batch['inputs'], batch['data_samples']
    whole = model.predict(inputs, copy.deepcopy(samples))[0]
    points = _predicted(whole)
    known = _labelled(whole) if 'keypoints' in whole.gt_instances else points
    boxes = {part: _enclose(known, keypoints, margin, whole.input_size) for part, keypoints in parts.items()}
    found = dict.fromkeys([None, *parts], (whole, None))
    masked = [part for part, box in boxes.items() if box is not None]
    if masked:
        several = inputs.repeat(len(masked), 1, 1, 1)
        for image, part in zip(several, masked):
            left, top, right, bottom = boxes[part]
            image[:, top:bottom, left:right] = 0  # what the mean colour is normalised to
        predictions = model.predict(several, [copy.deepcopy(samples[0]) for _ in masked])
        found.update((part, (sample, boxes[part])) for part, sample in zip(masked, predictions))
    colour = mean_colour(model)
    return {part: _compare(sample, box, known, points, colour, height) for part, (sample, box) in found.items()}


def mean_colour(model: BasePoseEstimator) -> np.ndarray:
    """RGB in 0 to 255 of what the model sees as 0; black where it does not normalise."""
    mean = getattr(model.data_preprocessor, 'mean', None)
    return np.zeros(3) if mean is None else mean.flatten().cpu().numpy().clip(0, 255)


def _compare(sample: PoseDataSample, box: np.ndarray | None, known: np.ndarray, before: np.ndarray,
             colour: np.ndarray, height: int) -> MaskedPose:
    view = view_sample(sample, height=height)
    points = _predicted(sample)
    labels = known if view.annotated else np.full_like(known, np.nan)
    hidden = np.zeros(len(known), dtype=bool)
    if box is not None:
        hidden = ((known >= box[:2]) & (known < box[2:])).all(-1)
        view = dataclasses.replace(view, image=_fill(view.image, box, colour, sample.input_size))
    return MaskedPose(view, box, hidden, np.linalg.norm(points - labels, axis=-1),
                      np.linalg.norm(points - before, axis=-1))


def _enclose(points: np.ndarray, keypoints: Sequence[int], margin: float, size: Sequence[int]) -> np.ndarray | None:
    """The box (x1, y1, x2, y2) around the known ones of ``keypoints``, in whole pixels of the input; None if empty."""
    everything = points[np.isfinite(points).all(-1)]
    wanted = points[list(keypoints)]
    wanted = wanted[np.isfinite(wanted).all(-1)]
    if not len(wanted):
        return None
    # A pose of one known keypoint has no size of its own.
    extent = max(np.ptp(everything, axis=0).max(), 0.25 * max(size))
    corners = np.floor([wanted.min(0) - margin * extent, wanted.max(0) + margin * extent + 1]).ravel()
    box = corners.clip(0, np.array([*size, *size])).astype(int)
    return box if (box[2:] > box[:2]).all() else None


def _fill(image: np.ndarray, box: np.ndarray, colour: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A copy of the crop (H, W, 3) whose ``box``, given in a picture of ``size``, has one colour."""
    scale = np.array([image.shape[1], image.shape[0]]) / size
    left, top, right, bottom = np.round(box * np.tile(scale, 2)).astype(int)
    image = image.copy()
    image[top:bottom, left:right] = colour.round()
    return image


def _predicted(sample: PoseDataSample) -> np.ndarray:
    """(K, 2) in input pixels; NaN for keypoints that a caption does not name, whose score is 0."""
    instances = sample.pred_instances
    points = to_input_pixels(instances.keypoints, sample.metainfo)[0]
    return np.where(np.asarray(instances.keypoint_scores)[0, :, None] > 0, points, np.nan)


def _labelled(sample: PoseDataSample) -> np.ndarray:
    """(K, 2) in input pixels; NaN for keypoints without label."""
    points = to_input_pixels(sample.gt_instances.keypoints, sample.metainfo)
    visible = np.asarray(sample.gt_instances.keypoints_visible).reshape(*points.shape[:2], -1)
    return np.where(visible[0, :, :1] > 0, points[0], np.nan)
