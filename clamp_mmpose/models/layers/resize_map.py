from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resize_map(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) to (B, C, H, W), bilinear, with the first cells of both on the same pixel.

    Cell i of a map at stride s lies on pixel s * i in backbones that halve by padded 3x3 convolutions (ResNet, HRNet),
    and there MMPose's codecs put it. ``F.interpolate`` alone would move a map of stride 32 by 14 pixels on its way to
    stride 4.
    """
    h, w = maps.shape[-2:]
    H, W = size
    if (h, w) == (H, W):
        return maps
    padded = F.pad(maps, (0, 1, 0, 1), mode='replicate')
    return F.interpolate(padded, (H + 1, W + 1), mode='bilinear', align_corners=True)[..., :H, :W]
