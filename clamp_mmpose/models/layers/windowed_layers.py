"""Running a stack of layers for a part of its output, with the values that the whole output has there."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Union

import torch.nn.functional as F
from torch import Tensor, nn

from .folded_norms import FoldedConvolution


class Window(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of a map; ``bottom`` and ``right`` are outside."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Window:
        return cls(0, size[0], 0, size[1])

    def crop(self, x: Tensor) -> Tensor:
        return x[..., self.top:self.bottom, self.left:self.right]


Layer = Union[nn.Module, FoldedConvolution]
_CONVOLUTIONS = (nn.Conv2d, FoldedConvolution)


def input_window(layers: Sequence[Layer], window: Window, size: tuple[int, int]) -> Window:
    """The part of the input that ``window`` of the output depends on. ``size``: (H, W) of the whole input."""
    return _plan(layers, window, size)[0].window


def run_window(layers: Sequence[Layer], x: Tensor, window: Window, size: tuple[int, int]) -> Tensor:
    """``window`` of what ``layers`` make of the map that ``x`` is the :func:`input_window` of.

    Zeros are padded at the true borders of the map alone, so that values and gradients are those of the whole map.
    ``layers`` are convolutions with zero padding, upsampling by a whole factor to the nearest, and layers that treat
    every cell alike, such as batch norm in eval mode.
    """
    for layer, step in zip(layers, _plan(layers, window, size)):
        if isinstance(layer, _CONVOLUTIONS):
            top, bottom, left, right = step.margin
            if _same_on_both_sides(layer, 0, x.shape[-2], top, bottom) and _same_on_both_sides(
                    layer, 1, x.shape[-1], left, right):
                padding = (top, left)
            else:
                x, padding = F.pad(x, (left, right, top, bottom)), 0
            x = F.conv2d(x, layer.weight, layer.bias, layer.stride, padding, layer.dilation, layer.groups)
        elif isinstance(layer, nn.Upsample):
            x = step.margin.crop(layer(x))
        else:
            x = layer(x)
    return x


class _Step(NamedTuple):
    """``window`` of a layer's input; ``margin``: the zeros that a convolution pads on each side, or the window to cut
    out of what the layer has upsampled."""

    window: Window
    margin: Window


def _plan(layers: Sequence[Layer], window: Window, size: tuple[int, int]) -> list[_Step]:
    sizes = [tuple(size)]
    for layer in layers:
        sizes.append(tuple(_size_after(layer, axis, length) for axis, length in enumerate(sizes[-1])))
    H, W = sizes[-1]
    if not (0 <= window.top < window.bottom <= H and 0 <= window.left < window.right <= W):
        raise ValueError(f'window={tuple(window)} must lie inside the output, which is {H}x{W}')
    steps = []
    for layer, (height, width) in zip(reversed(layers), reversed(sizes[:-1])):
        top, bottom, *rows = _before(layer, 0, window.top, window.bottom, height)
        left, right, *columns = _before(layer, 1, window.left, window.right, width)
        window = Window(top, bottom, left, right)
        steps.append(_Step(window, Window(*rows, *columns)))
    return steps[::-1]


def _size_after(layer: Layer, axis: int, length: int) -> int:
    if isinstance(layer, _CONVOLUTIONS):
        return (length + 2 * layer.padding[axis] - _extent(layer, axis)) // layer.stride[axis] + 1
    return length * _factor(layer)


def _before(layer: Layer, axis: int, start: int, stop: int, length: int) -> tuple[int, int, int, int]:
    """Start and stop of the input along one axis, and its margins."""
    if isinstance(layer, _CONVOLUTIONS):
        first = start * layer.stride[axis] - layer.padding[axis]
        last = (stop - 1) * layer.stride[axis] - layer.padding[axis] + _extent(layer, axis)
        return max(first, 0), min(last, length), max(-first, 0), max(last - length, 0)
    factor = _factor(layer)
    first, last = start // factor, -(-stop // factor)
    return first, last, start - first * factor, stop - first * factor


def _same_on_both_sides(layer: nn.Conv2d | FoldedConvolution, axis: int, length: int, before: int, after: int) -> bool:
    """Whether ``before`` zeros behind the input too leave the output as it is, so that nothing must be copied."""
    free, stride = length + before - _extent(layer, axis), layer.stride[axis]
    return (free + before) // stride == (free + after) // stride


def _extent(layer: nn.Conv2d | FoldedConvolution, axis: int) -> int:
    return layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1


def _factor(layer: Layer) -> int:
    return int(layer.scale_factor) if isinstance(layer, nn.Upsample) else 1
