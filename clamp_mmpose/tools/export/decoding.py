"""What MMPose's heatmap codecs do in NumPy, one map after another, as tensor operations that fit into a graph."""
from __future__ import annotations

import cv2
import torch
import torch.nn.functional as F
from mmpose.codecs import MSRAHeatmap, UDPHeatmap
from mmpose.codecs.base import BaseKeypointCodec
from torch import Tensor, nn


def build_decoding(codec: BaseKeypointCodec) -> nn.Module:
    """The decoding of ``codec``; ValueError for one whose decoding is not known here."""
    if type(codec) is MSRAHeatmap:
        return MSRADecoding(codec)
    if type(codec) is UDPHeatmap and codec.heatmap_type == 'gaussian':
        return UDPDecoding(codec)
    kind = type(codec).__name__ + (' with combined maps' if isinstance(codec, UDPHeatmap) else '')
    raise ValueError(f'keypoints of the codec {kind} cannot be computed inside a graph, only those of MSRAHeatmap and '
                     'of UDPHeatmap with Gaussian maps; --output heatmaps leaves the decoding to you')


class HeatmapDecoding(nn.Module):
    """Heatmaps (B, K, H, W) to keypoints (B, K, 2), in pixels of the network's input, and scores (B, K).

    A map without a positive value has its keypoint at (-1, -1), before it is refined and scaled, as in MMPose. Of equal
    maxima the first counts.
    """

    def __init__(self, codec: BaseKeypointCodec) -> None:
        super().__init__()
        self.width, self.height = codec.heatmap_size
        self.register_buffer('scale', torch.tensor(self._scale(codec), dtype=torch.float32))

    def forward(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        flat = heatmaps.flatten(2)
        index = flat.argmax(2)
        scores = flat.gather(2, index[..., None])[..., 0]
        row = torch.div(index, self.width, rounding_mode='floor')
        found = scores > 0
        # Not a tensor of ones: where the exporter knows the number of traced pictures, it would become a constant.
        x, y = (place.masked_fill(~found, -1) for place in (index - row * self.width, row))
        offset = self._refine(heatmaps, x, y)
        return (torch.stack([x, y], -1).to(heatmaps.dtype) + offset) * self.scale, scores

    def _scale(self, codec: BaseKeypointCodec) -> list[float]:
        """Pixels per cell, (x, y)."""
        raise NotImplementedError

    def _refine(self, heatmaps: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """What to add to the maximum at ``x``, ``y`` (B, K), in cells: (B, K, 2)."""
        raise NotImplementedError

    def _at(self, flat: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Values of ``flat`` (B, K, H * W) at ``x``, ``y`` (B, K), or at the closest cell where they lie outside."""
        index = y.clamp(0, self.height - 1) * self.width + x.clamp(0, self.width - 1)
        return flat.gather(2, index[..., None])[..., 0]


class MSRADecoding(HeatmapDecoding):
    """:class:`MSRAHeatmap`: a quarter of a cell towards the higher neighbour, or with ``unbiased`` DarkPose."""

    def __init__(self, codec: MSRAHeatmap) -> None:
        super().__init__(codec)
        self.blur = GaussianBlur(codec.blur_kernel_size) if codec.unbiased else None

    def _scale(self, codec: MSRAHeatmap) -> list[float]:
        return codec.scale_factor.tolist()

    def _refine(self, heatmaps: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return self._quarter(heatmaps, x, y) if self.blur is None else self._dark(heatmaps, x, y)

    def _quarter(self, heatmaps: Tensor, x: Tensor, y: Tensor) -> Tensor:
        flat = heatmaps.flatten(2)
        dx = self._at(flat, x + 1, y) - self._at(flat, x - 1, y)
        dy = self._at(flat, x, y + 1) - self._at(flat, x, y - 1)
        # Not in the first two and the last cells of the direction, nor in the first of the other.
        shifts_x = (x > 1) & (x < self.width - 1) & (y > 0)
        shifts_y = (y > 1) & (y < self.height - 1) & (x > 0)
        return 0.25 * torch.stack([dx.sign() * shifts_x, dy.sign() * shifts_y], -1)

    def _dark(self, heatmaps: Tensor, x: Tensor, y: Tensor) -> Tensor:
        flat = self.blur(heatmaps).clamp(min=1e-10).log().flatten(2)

        def at(dx: int, dy: int) -> Tensor:
            return self._at(flat, x + dx, y + dy)

        centre = at(0, 0)
        dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
        dxx = 0.25 * (at(2, 0) - 2 * centre + at(-2, 0))
        dyy = 0.25 * (at(0, 2) - 2 * centre + at(0, -2))
        dxy = 0.25 * (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1))
        determinant = dxx * dyy - dxy * dxy
        inside = (x > 1) & (x < self.width - 2) & (y > 1) & (y < self.height - 2)
        usable = inside & (determinant != 0)
        offset = _newton_step(dx, dy, dxx, dyy, dxy, determinant.masked_fill(~usable, 1.0))
        return offset.masked_fill(~usable[..., None], 0.0)


class UDPDecoding(HeatmapDecoding):
    """:class:`UDPHeatmap` with Gaussian maps: DarkPose on a blurred map whose border is repeated."""

    def __init__(self, codec: UDPHeatmap) -> None:
        super().__init__(codec)
        self.blur = GaussianBlur(codec.blur_kernel_size)

    def _scale(self, codec: UDPHeatmap) -> list[float]:
        return [size / (cells - 1) for size, cells in zip(codec.input_size, codec.heatmap_size)]

    def _refine(self, heatmaps: Tensor, x: Tensor, y: Tensor) -> Tensor:
        logs = self.blur(heatmaps).clamp(1e-3, 50.0).log()
        # (B, K * (H + 2) * (W + 2)): at (-1, -1), where nothing was found, MMPose's indices run over into other maps.
        padded = F.pad(logs, (1, 1, 1, 1), mode='replicate').flatten(1)
        width = self.width + 2
        area = width * (self.height + 2)
        num_keypoints = heatmaps.shape[1]
        first = torch.arange(num_keypoints, device=x.device) * area
        index = first + (y + 1) * width + x + 1

        def at(dx: int, dy: int) -> Tensor:
            return padded.gather(1, torch.remainder(index + dy * width + dx, num_keypoints * area))

        centre = at(0, 0)
        right, below, left, above = at(1, 0), at(0, 1), at(-1, 0), at(0, -1)
        dx, dy = 0.5 * (right - left), 0.5 * (below - above)
        epsilon = torch.finfo(torch.float32).eps
        dxx, dyy = right - 2 * centre + left + epsilon, below - 2 * centre + above + epsilon
        dxy = 0.5 * (at(1, 1) - right - below + centre + centre - left - above + at(-1, -1))
        return _newton_step(dx, dy, dxx, dyy, dxy, dxx * dyy - dxy * dxy)


class GaussianBlur(nn.Module):
    """OpenCV's blur of each map between zeros, scaled back to the maximum that the map had."""

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        kernel = torch.from_numpy(cv2.getGaussianKernel(kernel_size, 0)).float().flatten()
        self.register_buffer('row', kernel.view(1, 1, 1, -1))
        self.register_buffer('column', kernel.view(1, 1, -1, 1))
        self.padding = kernel_size // 2

    def forward(self, heatmaps: Tensor) -> Tensor:
        maps = heatmaps.flatten(0, 1)[:, None]  # (B * K, 1, H, W)
        blurred = F.conv2d(F.conv2d(maps, self.row, padding=(0, self.padding)), self.column, padding=(self.padding, 0))
        scaled = blurred * (maps.amax((2, 3), keepdim=True) / blurred.amax((2, 3), keepdim=True))
        return scaled.reshape(-1, *heatmaps.shape[1:])


def _newton_step(dx: Tensor, dy: Tensor, dxx: Tensor, dyy: Tensor, dxy: Tensor, determinant: Tensor) -> Tensor:
    """-inverse([[dxx, dxy], [dxy, dyy]]) @ [dx, dy]."""
    return torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], -1) / determinant[..., None]
