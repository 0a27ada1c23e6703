from __future__ import annotations

from torch import nn


class LocalFeatures(nn.Sequential):
    """Features of the cells of a backbone's map, each of which knows of its surroundings.

    Two 1x1 convolutions, with a group norm and ReLU: of the rest of the image a cell knows what the backbone's field of
    view has, and the mean and variance of each group of channels. (B, D_in, h, w) gives (B, D, h, w), 0 or more. Ours.
    """

    def __init__(self, in_channels: int, channels: int, *, num_groups: int = 8) -> None:
        if channels % num_groups:
            raise ValueError(f'num_groups={num_groups} of local_features does not divide channels={channels}')
        super().__init__(
            nn.Conv2d(in_channels, channels, 1), nn.GroupNorm(num_groups, channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 1), nn.ReLU())
