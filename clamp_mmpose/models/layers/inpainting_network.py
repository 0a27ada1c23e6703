from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from .folded_norms import fold_norms
from .separable_maps import SeparableMaps, convolve_upsampled
from .windowed_layers import Window, input_window, run_window

STRIDE = 8  # of the features of both encoders


class InpaintingNetwork(BaseModule):
    """Paints the missing patch of an image from what is left of it and from heatmaps: MeTTA's auxiliary network (A.2).

    Two encoders, of the masked image and of the upsampled heatmaps, and a decoder of both. Layers as in the supplement
    and, where it does not say (32 channels of the first layers, two convolutions per level), as in TTP's public code.

    Args:
        num_maps: how many heatmaps.
        base_channels: of the first layers; the encoders end with 8 times as many.
    """

    def __init__(self, num_maps: int, *, base_channels: int = 32) -> None:
        # Its parent's initialisation, such as HeatmapHead's with a deviation of 0.001, is none for a deep network.
        super().__init__(init_cfg=[dict(type='Kaiming', layer='Conv2d'), dict(type='Constant', layer='BatchNorm2d',
                                                                              val=1)])
        self.appearance_encoder = _encoder(3, base_channels)
        self.pose_encoder = _encoder(num_maps, base_channels)
        self.decoder = _decoder(base_channels)

    def encode_appearance(self, images: Tensor, mask: Tensor) -> Tensor:
        """images: (B, 3, H, W), normalised; mask: (B or 1, 1, H, W), 1 where the image is missing, which is filled with
        zeros. Returns (B, C, H / 8, W / 8)."""
        H, W = images.shape[-2:]
        if H % STRIDE or W % STRIDE:
            raise ValueError(f'images of {W}x{H} (W, H) cannot be inpainted; both must be multiples of {STRIDE}')
        return self.appearance_encoder(images * (1 - mask))

    def forward(self, appearance: Tensor, heatmaps: Tensor | SeparableMaps, window: Window | None = None) -> Tensor:
        """appearance: as :meth:`encode_appearance` gives it; heatmaps: (B, K, h, w), cheaper if separable.

        Returns the painted image (B, 3, H, W), or ``window`` of it, for which no more is computed than it depends on.
        """
        coarse = tuple(appearance.shape[-2:])
        window = window or Window.whole((coarse[0] * STRIDE, coarse[1] * STRIDE))
        decoder = fold_norms(self.decoder)
        seen = input_window(decoder, window, coarse)  # of the features, by the decoder
        pose = self._encode_pose(heatmaps, seen, (coarse[0] * STRIDE, coarse[1] * STRIDE))
        return run_window(decoder, torch.cat([seen.crop(appearance), pose], 1), window, coarse)

    def _encode_pose(self, heatmaps: Tensor | SeparableMaps, window: Window, size: tuple[int, int]) -> Tensor:
        """``window`` of the features of heatmaps upsampled to ``size``."""
        first, *layers = fold_norms(self.pose_encoder)
        seen = input_window(layers, window, size)  # of the first layer's output
        if isinstance(heatmaps, SeparableMaps):
            x = convolve_upsampled(heatmaps, first.weight, first.bias, first.padding, seen, size)
        else:
            upsampled = F.interpolate(heatmaps, size=size, mode='bilinear', align_corners=False)
            x = run_window([first], input_window([first], seen, size).crop(upsampled), seen, size)
        return run_window(layers, x, window, size)


def check_inpainting_size(size: Sequence[int]) -> tuple[int, int]:
    """(W, H) as a tuple, if images of that size can be inpainted."""
    sides = tuple(size) if isinstance(size, Sequence) else (size, )
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 and side % STRIDE == 0 for side in sides):
        raise ValueError(f'inpainting_size={size!r} must be a width and a height, both multiples of {STRIDE}')
    return sides


def _conv(in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> Iterator[nn.Module]:
    yield nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False)
    yield nn.BatchNorm2d(out_channels)
    yield nn.ReLU(inplace=True)


def _encoder(in_channels: int, base_channels: int) -> nn.Sequential:
    layers = [*_conv(in_channels, base_channels, kernel_size=7), *_conv(base_channels, base_channels)]
    for level in range(3):
        channels = base_channels * 2**level
        layers += [*_conv(channels, 2 * channels, stride=2), *_conv(2 * channels, 2 * channels)]
    return nn.Sequential(*layers)


def _decoder(base_channels: int) -> nn.Sequential:
    layers, in_channels = [], 16 * base_channels
    for level in (8, 4, 2, 1):
        channels = level * base_channels
        layers += [*_conv(in_channels, channels), *_conv(channels, channels)]
        if level > 1:
            layers.append(nn.Upsample(scale_factor=2, mode='nearest'))
        in_channels = channels
    return nn.Sequential(*layers, nn.Conv2d(base_channels, 3, 3, padding=1))
