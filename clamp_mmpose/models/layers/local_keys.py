from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from .resize_map import resize_map


class LocalKeys(nn.Module):
    """What the cells of a backbone's maps show, as keys to match parts with, each from the cell and those around it.

    1x1 convolutions of all maps, brought to one size and added, a group norm, and two convolutions, 3x3 and 1x1, with
    ReLU before each. Maps (B, D_i, h_i, w_i) give (B, D, H, W). Ours.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, *, num_groups: int = 8) -> None:
        if num_groups < 1 or channels % num_groups:
            raise ValueError(f'num_groups={num_groups} of local_matching does not divide channels={channels}')
        super().__init__()
        self.projections = nn.ModuleList(nn.Conv2d(number, channels, 1) for number in in_channels)
        self.convs = nn.Sequential(
            nn.GroupNorm(num_groups, channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(),
            nn.Conv2d(channels, channels, 1))

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        return self.convs(sum(_fit(projection(x), size) for projection, x in zip(self.projections, maps)))


def _fit(x: Tensor, size: tuple[int, int]) -> Tensor:
    if x.shape[-2] > size[0]:  # a mean, where resizing would leave out cells
        return F.adaptive_avg_pool2d(x, size)
    return resize_map(x, size)
