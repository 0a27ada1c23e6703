from __future__ import annotations

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from torch import Tensor, nn


class ViTPyramid(nn.Module):
    """Turns four maps of a plain ViT, all at the stride of its patch, into strides of a quarter, half, one and two.

    As in the released DenseCLIP (patch 16: strides 4, 8, 16, 32): group norm, then transposed convolutions of stride 2
    or a max pool. ``norm_cfg`` is that of the norm between the two convolutions of the finest map; the released code
    has SyncBN.
    """

    def __init__(self, in_channels: int, *, norm_cfg: dict | None = None) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.fpn1 = nn.Sequential(
            nn.GroupNorm(1, in_channels), _double(in_channels),
            build_norm_layer(norm_cfg or dict(type='BN'), in_channels)[1], nn.GELU(), _double(in_channels))
        self.fpn2 = nn.Sequential(nn.GroupNorm(1, in_channels), _double(in_channels))
        self.fpn3 = nn.GroupNorm(1, in_channels)
        self.fpn4 = nn.Sequential(nn.GroupNorm(1, in_channels), nn.MaxPool2d(2))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        if len(maps) != 4:
            raise ValueError(f'the pyramid takes 4 maps of the ViT and gets {len(maps)}; set out_indices=(3, 5, 7, 11) '
                             'or other four blocks of the backbone')
        channels = {x.shape[1] for x in maps}
        if channels != {self.in_channels}:
            raise ValueError(f'in_channels={self.in_channels} of pyramid, but the maps of the backbone have '
                             f'{sorted(channels)} channels')
        return tuple(level(x) for level, x in zip((self.fpn1, self.fpn2, self.fpn3, self.fpn4), maps))


def _double(channels: int) -> nn.Module:
    return nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)
