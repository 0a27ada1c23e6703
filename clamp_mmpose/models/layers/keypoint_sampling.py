"""Image embedding at the keypoints: Eq. 6 of CLAMP, and what the released code does in its place.

Both functions take ``dense`` (B, D, h, w), ``keypoints`` (B, K, 2) as x, y in pixels of the network's input (pixel
centres at integers), ``visible`` (B, K) and ``input_size`` (W, H), and return features (B, K, D) in full
precision and weights (B, K), 1 where a keypoint counts. A keypoint that does not count has a zero feature.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .full_precision import full_precision


def sample_bilinear(dense: Tensor, keypoints: Tensor, visible: Tensor,
                    input_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Bilinear grid sampling at the keypoints that are visible and inside the image (the paper's Eq. 6)."""
    # Pixel centres: x = -0.5 and x = W - 0.5 are the image's borders, which grid_sample calls -1 and 1.
    grid = (keypoints.float() + 0.5) / keypoints.new_tensor(input_size, dtype=torch.float32) * 2 - 1
    weight = ((visible > 0) & (grid.abs() <= 1).all(-1)).float()
    # A coordinate that does not count may be anything, NaN included.
    grid = torch.where(weight[..., None] > 0, grid, torch.zeros_like(grid))
    dense = full_precision(dense)
    features = F.grid_sample(dense, grid[:, :, None].to(dense.dtype), padding_mode='border', align_corners=False)
    return features[..., 0].transpose(1, 2) * weight[..., None], weight


def sample_released(dense: Tensor, keypoints: Tensor, visible: Tensor,
                    input_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The one cell at which the released code's coarse Gaussian target equals 1, borders and half-cell bias included.

    The target is MMPose 0.x's heatmap of sigma 0.5 on the feature grid. Its centre is int(x / stride + 0.5), its patch
    begins at int(centre - 1.5), which truncates towards zero, and its peak is the patch's third cell. So a keypoint in
    the second half of a cell belongs to the next one, and the cells 0 and 1 are named 1 and 2. A peak outside the grid
    leaves a zero feature, but the keypoint keeps its weight unless the whole patch lies outside.
    """
    h, w = dense.shape[-2:]
    # Float64 as in the released code: in float32 a keypoint just before the middle of a cell is rounded onto it.
    size = keypoints.new_tensor([w, h], dtype=torch.float64)
    stride = keypoints.new_tensor(input_size, dtype=torch.float64) / size
    centre = torch.trunc(torch.nan_to_num(keypoints.double()) / stride + 0.5)
    first = torch.trunc(centre - 1.5)
    last = torch.trunc(centre + 2.5)
    outside = ((first >= size) | (last < 0)).any(-1)
    weight = ((visible > 0) & ~outside).float()
    peak = first + 2
    found = ((peak >= 0) & (peak < size)).all(-1) & (weight > 0)
    column, row = peak.clamp(min=0).minimum(size - 1).long().unbind(-1)
    index = (row * w + column)[:, None].expand(-1, dense.shape[1], -1)
    features = full_precision(dense).flatten(2).gather(2, index).transpose(1, 2)
    return features * found[..., None], weight
