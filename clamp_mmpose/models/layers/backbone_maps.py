from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def find_scales(scales: Sequence[int], strides: Sequence[int], in_channels: Sequence[int]) -> list[int]:
    """Which of a backbone's maps, at ``strides``, have the strides ``scales``, the finest first.

    Raises ValueError for a scale that is no stride, and where ``in_channels`` does not count as many maps.
    """
    if not strides or len(strides) != len(in_channels):
        raise ValueError(f'in_channels={tuple(in_channels)} and strides={tuple(strides)} must say one number for each '
                         'map of the backbone')
    if not scales or any(scale not in strides for scale in scales):
        raise ValueError(f'scales={tuple(scales)} must be some of strides={tuple(strides)}, those of the maps in front '
                         'of the head')
    return [strides.index(scale) for scale in sorted(set(scales))]


def check_maps(maps: Sequence[Tensor], in_channels: Sequence[int], strides: Sequence[int],
               input_size: Sequence[int] | None) -> None:
    """Raises ValueError, which names what is missing and what came, unless the maps (B, C, h, w) have these channels
    and these strides of the network's input, ``input_size`` (W, H). Where it is not known, the first map tells it."""
    H, W = input_size[::-1] if input_size is not None else (n * strides[0] for n in maps[0].shape[-2:])
    came = [tuple(x.shape[1:]) for x in maps]
    if len(came) != len(strides) or not all(_has_stride(shape, stride, (H, W)) for shape, stride in zip(came, strides)):
        missing = [stride for stride in strides if not any(_has_stride(shape, stride, (H, W)) for shape in came)]
        raise ValueError(f'the head takes maps at strides={tuple(strides)} of an input of {(W, H)} (W, H), in this '
                         f'order and number; not found at all: {missing}. What comes is, as (channels, h, w): {came}. '
                         'ResNet and Swin give strides 4 to 32 with out_indices=(0, 1, 2, 3), HRNet with '
                         'multiscale_output=True of stage4; strides and scales of the head take others')
    channels = tuple(channels for channels, *_ in came)
    if channels != tuple(in_channels):
        raise ValueError(f'in_channels={tuple(in_channels)} of the head, but the maps have {channels} channels')


def _has_stride(shape: tuple[int, int, int], stride: int, size: tuple[int, int]) -> bool:
    # Backbones round a size that the stride does not divide up or down.
    return all(n in (length // stride, -(-length // stride)) for n, length in zip(shape[1:], size))
