from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def packed_keypoints(batch_data_samples: Sequence, like: Tensor) -> tuple[Tensor, Tensor]:
    """Keypoints (B, K, 2) in pixels of the network's input and their visibility (B, K), on the device of ``like``.

    Raises ValueError where the pipeline has not packed them.
    """
    instances = [sample.gt_instances for sample in batch_data_samples]
    if 'transformed_keypoints' not in instances[0]:
        raise ValueError("this loss needs the keypoints in the network's input; write "
                         "dict(type='PackPoseInputs', pack_transformed=True) in the training pipeline of a top-down "
                         'pose model')
    keypoints = np.concatenate([instance.transformed_keypoints for instance in instances])
    visible = np.concatenate([instance.keypoints_visible for instance in instances])
    return tuple(like.new_tensor(array, dtype=torch.float32) for array in (keypoints, visible))


def score_map_target(score_map: Tensor, batch_data_samples: Sequence, sigma: float) -> tuple[Tensor, Tensor]:
    """The :func:`gaussian_target` of a batch for its ``score_map`` (B, K, h, w).

    Raises ValueError for another number of instances or keypoints than the score map has.
    """
    keypoints, visible = packed_keypoints(batch_data_samples, score_map)
    if keypoints.shape[:2] != score_map.shape[:2]:
        raise ValueError(f'{len(batch_data_samples)} images have {keypoints.shape[0]} instances of '
                         f'{keypoints.shape[1]} keypoints, and the score map is {tuple(score_map.shape)} (B, K, h, w); '
                         'it takes one instance per image, and one name per keypoint')
    return gaussian_target(keypoints, visible, batch_data_samples[0].input_size, score_map.shape[-2:], sigma)


def gaussian_target(keypoints: Tensor, visible: Tensor, input_size: tuple[int, int], size: tuple[int, int],
                    sigma: float) -> tuple[Tensor, Tensor]:
    """A Gaussian around every keypoint on a grid of ``size`` (h, w): (B, K, h, w) in [0, 1], and weights (B, K).

    ``keypoints`` (B, K, 2) are in pixels of the network's input, ``input_size`` (W, H); ``sigma`` is in cells. A
    keypoint that is invisible or outside the input weighs 0.
    """
    h, w = size
    extent = keypoints.new_tensor(input_size)
    inside = ((keypoints > -0.5) & (keypoints < extent - 0.5)).all(-1)
    weight = ((visible > 0) & inside).to(keypoints.dtype)
    # Pixel centres and cell centres are at integers.
    x, y = torch.nan_to_num((keypoints + 0.5) / extent * keypoints.new_tensor([w, h]) - 0.5).unbind(-1)
    columns, rows = (torch.arange(n, dtype=keypoints.dtype, device=keypoints.device) for n in (w, h))
    dx = ((columns - x[..., None]) / sigma).square()
    dy = ((rows - y[..., None]) / sigma).square()
    return torch.exp(-0.5 * (dy[..., :, None] + dx[..., None, :])), weight
