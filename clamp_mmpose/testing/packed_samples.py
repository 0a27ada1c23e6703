"""Batches as MMPose's data loaders give them, made by MMPose's own transforms from random pictures."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.dataset import pseudo_collate
from mmpose.datasets.transforms import GenerateTarget, PackPoseInputs, TopdownAffine


def pack_batch(codec: dict | Sequence[dict],
               num_keypoints: int,
               *,
               batch_size: int = 2,
               hidden: Sequence[int] | str = (),
               flip_indices: Sequence[int] | None = None,
               pack_transformed: bool = True,
               seed: int = 0) -> dict:
    """A training batch of ``batch_size`` people or animals for ``model.data_preprocessor``.

    The targets come from ``codec`` through MMPose's ``TopdownAffine``, ``GenerateTarget`` and ``PackPoseInputs``. The
    image is random and as large as the network's input; the keypoints lie anywhere inside it.

    ``codec``: config of one codec. ``hidden``: indices of invisible keypoints, or 'all'. Returns a dict of ``inputs``,
    a list of (3, H, W) uint8, and ``data_samples``, a list of PoseDataSample.
    """
    rng = np.random.default_rng(seed)
    width, height = codec['input_size']
    transforms = [
        TopdownAffine(input_size=(width, height)),
        GenerateTarget(encoder=codec),
        PackPoseInputs(pack_transformed=pack_transformed)
    ]
    visible = np.ones((1, num_keypoints), dtype=np.float32)
    visible[:, list(range(num_keypoints) if hidden == 'all' else hidden)] = 0
    packed = []
    for index in range(batch_size):
        size = np.array([width, height], dtype=np.float32)
        keypoints = rng.uniform(0, 1, (1, num_keypoints, 2)).astype(np.float32) * (size - 1)
        sample = dict(
            id=index,
            img_id=index,
            img_path=f'{index}.jpg',
            img=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
            img_shape=(height, width),
            ori_shape=(height, width),
            bbox=np.array([[0, 0, width, height]], dtype=np.float32),
            bbox_center=size[None] / 2,
            bbox_scale=size[None].copy(),
            bbox_score=np.ones(1, dtype=np.float32),
            category_id=1,
            keypoints=keypoints,
            keypoints_visible=visible.copy(),
            flip_indices=list(flip_indices or range(num_keypoints)),
            dataset_keypoint_weights=np.ones(num_keypoints, dtype=np.float32))
        for transform in transforms:
            sample = transform(sample)
        packed.append(sample)
    return pseudo_collate(packed)
