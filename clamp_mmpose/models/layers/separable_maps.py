"""Maps that are a product of a profile down the rows and one along the columns, and convolving them as such."""
from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .windowed_layers import Window


class SeparableMaps(NamedTuple):
    """(B, K, H, W) as ``rows`` (B, K, H) times ``columns`` (B, K, W)."""

    rows: Tensor
    columns: Tensor

    def dense(self) -> Tensor:
        return self.rows[..., :, None] * self.columns[..., None, :]


def convolve_upsampled(maps: SeparableMaps, weight: Tensor, bias: Tensor | None, padding: tuple[int, int],
                       window: Window, size: tuple[int, int]) -> Tensor:
    """``window`` (B, O, h, w) of the convolution of ``maps``, upsampled bilinearly to ``size`` (H, W), with ``weight``
    (O, K, kh, kw), ``bias`` (O, ), zero padding and stride 1.

    Bilinear upsampling leaves the maps products. So the rows can be convolved alone, for each column of the kernel,
    which leaves one matrix product with the columns: kh times fewer operations than the convolution, and the upsampled
    maps are never written.
    """
    B, K = maps.rows.shape[:2]
    out_channels, _, kh, kw = weight.shape
    rows = _shifted(maps.rows, size[0], kh, padding[0], window.top, window.bottom)  # (B, K, kh, h)
    columns = _shifted(maps.columns, size[1], kw, padding[1], window.left, window.right)  # (B, K, kw, w)
    rows = weight.permute(1, 3, 0, 2).reshape(K, kw * out_channels, kh) @ rows  # (B, K, kw * O, h)
    rows = rows.reshape(B, K * kw, -1)  # (B, K * kw, O * h)
    output = (rows.transpose(1, 2) @ columns.flatten(1, 2)).unflatten(1, (out_channels, -1))
    return output if bias is None else output + bias[:, None, None]


def _shifted(profiles: Tensor, size: int, kernel_size: int, padding: int, start: int, stop: int) -> Tensor:
    """(B, K, kernel_size, stop - start): the upsampled profiles as each cell of the kernel sees them."""
    # Upsampling, padding and shifting are linear: all three are one small matrix.
    eye = torch.eye(profiles.shape[-1], dtype=profiles.dtype, device=profiles.device)
    upsampling = F.interpolate(eye[None], size=size, mode='linear', align_corners=False)[0]
    shifts = F.pad(upsampling, (padding, padding)).unfold(-1, kernel_size, 1)[:, start:stop]
    return (profiles @ shifts.transpose(1, 2).flatten(1)).unflatten(-1, (kernel_size, -1))
