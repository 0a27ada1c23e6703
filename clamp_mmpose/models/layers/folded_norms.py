"""Batch norm in evaluation mode as part of the convolution in front of it."""
from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class FoldedConvolution(NamedTuple):
    """What a convolution and its norm compute, as one convolution."""

    weight: Tensor
    bias: Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, *self)

    @property
    def kernel_size(self) -> tuple[int, int]:
        return tuple(self.weight.shape[2:])


def fold_norms(layers: Iterable[nn.Module]) -> list[nn.Module | FoldedConvolution]:
    """``layers`` where each convolution with zero padding and the batch norm in evaluation mode behind it are one.

    Values and gradients are the same, those of the norm's parameters too; the norm's own pass over the map is saved,
    forwards and backwards. Norms in training mode stay.
    """
    folded: list[nn.Module | FoldedConvolution] = []
    for layer in layers:
        if folded and _is_plain(folded[-1]) and _is_fixed(layer):
            folded[-1] = _fold(folded[-1], layer)
        else:
            folded.append(layer)
    return folded


def _is_plain(layer: nn.Module | FoldedConvolution) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.padding_mode == 'zeros'


def _is_fixed(layer: nn.Module) -> bool:
    return isinstance(layer, _BatchNorm) and not layer.training and layer.running_var is not None


def _fold(conv: nn.Conv2d, norm: _BatchNorm) -> FoldedConvolution:
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.affine:
        scale = scale * norm.weight
    mean = norm.running_mean if conv.bias is None else norm.running_mean - conv.bias
    bias = -mean * scale if norm.bias is None else norm.bias - mean * scale
    return FoldedConvolution(conv.weight * scale[:, None, None, None], bias, conv.stride, conv.padding, conv.dilation,
                             conv.groups)
