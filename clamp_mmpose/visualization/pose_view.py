"""What a model sees of single animals or people of a dataset, ready to be drawn."""
from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import mmcv
import numpy as np
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from mmpose.models.pose_estimators.base import BasePoseEstimator
from mmpose.structures import PoseDataSample
from mmpose.structures.bbox import get_warp_matrix
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class PoseView:
    """One instance: its crop, and what is known and predicted of its keypoints, in pixels of the crop.

    ``image`` (H, W, 3) RGB; ``keypoints`` and ``predicted`` (K, 2); ``visible`` (K,), 0 where there is no label;
    ``scores`` (K,). The maps cover the crop: ``score_map`` (K, h, w), the neck's cosines; ``upsampled`` (K, h, w), the
    same as the head's spatial loss sees it; ``heatmap`` (K, h, w), what the keypoints are read from. None where the
    model does not make them. ``sample`` is what MMPose made of the instance, in pixels of its image.
    """

    name: str
    image: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray
    score_map: np.ndarray | None = None
    upsampled: np.ndarray | None = None
    heatmap: np.ndarray | None = None
    sample: PoseDataSample | None = None

    @property
    def annotated(self) -> bool:
        """Whether there are labels at all, visible or not."""
        return self.sample is None or 'keypoints' in self.sample.gt_instances

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """Points (K, 2) of the image, in pixels of the crop."""
        height, width = self.image.shape[:2]
        return cv2.transform(points[None].astype(np.float32), _warp(self.sample, width, height))[0]


def choose_instances(dataset: BaseDataset, num: int, *, seed: int = 0) -> list[int]:
    """Up to ``num`` random instances, those with at least half of their keypoints labelled first."""
    if num < 1:
        raise ValueError(f'num={num} must be 1 or more')
    order = np.random.default_rng(seed).permutation(len(dataset)).tolist()
    poor = []
    chosen = []
    for index in order:
        if np.mean(dataset.get_data_info(index)['keypoints_visible'] > 0) >= 0.5:
            chosen.append(index)
        else:
            poor.append(index)
        if len(chosen) == num:
            break
    return (chosen + poor)[:num]


@torch.no_grad()
def view_instances(model: BasePoseEstimator,
                   dataset: BaseDataset,
                   indices: Sequence[int],
                   *,
                   height: int = 384) -> list[PoseView]:
    """Runs a top-down ``model`` on instances of ``dataset``, as its test does (flip test included).

    The crops are cut from the original images again, ``height`` pixels high, so that small inputs look good too.
    """
    views = []
    for index in indices:
        batch = model.data_preprocessor(pseudo_collate([dataset[index]]), False)
        inputs, samples = batch['inputs'], batch['data_samples']
        if 'input_center' not in samples[0].metainfo:
            raise ValueError(f'the pipeline of {type(dataset).__name__} makes no crops; pictures are drawn for '
                             "top-down models, whose pipeline has 'TopdownAffine'")
        maps = _maps(model, inputs)
        views.append(view_sample(model.predict(inputs, samples)[0], height=height, **maps))
    return views


def view_sample(sample: PoseDataSample, *, height: int = 384, **maps: np.ndarray | None) -> PoseView:
    """The view of an instance that a top-down model has predicted, cut from its image.

    ``maps``: those of :class:`PoseView`.
    """
    # A model that sees the whole image squeezed into a square is shown it in its own proportions.
    width = max(round(height * sample.input_scale[0] / sample.input_scale[1]), 1)
    to_crop = _warp(sample, width, height)
    image = mmcv.imread(sample.img_path, channel_order='rgb')
    image = cv2.warpAffine(image, to_crop, (width, height), flags=cv2.INTER_CUBIC)
    truth, predicted = sample.gt_instances, sample.pred_instances
    keypoints, visible = np.zeros_like(predicted.keypoints), np.zeros(predicted.keypoints.shape[:2])
    if 'keypoints' in truth:
        keypoints, visible = truth.keypoints, truth.keypoints_visible
    return PoseView(
        name=str(sample.img_path).replace('\\', '/').rsplit('/', 1)[-1],
        image=image,
        keypoints=cv2.transform(keypoints[:1, :, :2].astype(np.float32), to_crop)[0],
        visible=visible.reshape((*keypoints.shape[:2], -1))[0, :, 0],
        predicted=cv2.transform(predicted.keypoints[:1, :, :2].astype(np.float32), to_crop)[0],
        scores=np.asarray(predicted.keypoint_scores[0]),
        sample=sample,
        **maps)


def _warp(sample: PoseDataSample, width: int, height: int) -> np.ndarray:
    return get_warp_matrix(sample.input_center, sample.input_scale, 0, (width, height), fix_aspect_ratio=False)


def _maps(model: BasePoseEstimator, inputs: Tensor) -> dict[str, np.ndarray | None]:
    feats = model.extract_feat(inputs)
    score_map = getattr(feats, 'score_map', None)
    if score_map is None:
        return {}
    heatmap, upsampled = model.head(feats), None
    if hasattr(model.head, 'upsample_score_map'):
        upsampled = model.head.upsample_score_map(score_map, heatmap.shape[-2:])
    K = score_map.shape[1]
    return dict(score_map=_to_numpy(score_map, K), upsampled=_to_numpy(upsampled, K), heatmap=_to_numpy(heatmap, K))


def _to_numpy(maps: Tensor | tuple | None, num_keypoints: int) -> np.ndarray | None:
    """The maps of the first image; None for what is not one map per keypoint, such as SimCC's or combined UDP's."""
    if not isinstance(maps, Tensor) or maps.ndim != 4 or maps.shape[1] != num_keypoints:
        return None
    return maps[0].float().cpu().numpy()
