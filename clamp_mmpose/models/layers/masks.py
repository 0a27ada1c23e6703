"""Which part of an image is to be inpainted, and how far the painted part is from the true one."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .windowed_layers import Window


def central_patch(size: tuple[int, int], side: float) -> Window:
    """The rectangle in the middle of an image of ``size`` (H, W) that is ``side`` of its height and of its width.

    A person's crop has the person in the middle: 0.5 is what MeTTA is trained for here, and 0.9 hides almost the whole
    body (Fig. 2 of the supplement).
    """
    _check_side('side', side)
    (top, bottom), (left, right) = (_span(length, side, 0.5) for length in size)
    return Window(top, bottom, left, right)


def random_patches(number: int, size: tuple[int, int], sides: tuple[float, float],
                   generator: torch.Generator | None = None) -> list[Window]:
    """Rectangles of random size and place inside an image of ``size`` (H, W).

    The share of height and width is uniform between the two ``sides``, the same for both; the place is uniform.
    """
    smallest, largest = sides
    _check_side('sides', smallest)
    _check_side('sides', largest)
    if smallest > largest:
        raise ValueError(f'sides={tuple(sides)}: the first must not be greater')
    patches = []
    for draw, down, across in torch.rand(number, 3, generator=generator).tolist():
        side = smallest + (largest - smallest) * draw
        patches.append(Window(*_span(size[0], side, down), *_span(size[1], side, across)))
    return patches


def patch_masks(patches: Sequence[Window], size: tuple[int, int], like: Tensor) -> Tensor:
    """(N, 1, H, W), 1 inside the patch of each image and 0 elsewhere."""
    masks = like.new_zeros(len(patches), 1, *size)
    for mask, patch in zip(masks, patches):
        patch.crop(mask).fill_(1)
    return masks


def masked_loss(painted: Tensor, images: Tensor, mask: Tensor | None = None, *, squared: bool = False) -> Tensor:
    """(B, ): absolute (or squared) difference, as the mean over the channels and the pixels where ``mask`` is 1.

    painted, images: (B, 3, H, W); mask: (B or 1, 1, H, W), None for all pixels.
    """
    difference = painted - images
    difference = difference.square() if squared else difference.abs()
    if mask is None:
        return difference.mean((1, 2, 3))
    return (difference.mean(1, keepdim=True) * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))


def _span(length: int, side: float, place: float) -> tuple[int, int]:
    """Start and stop of ``side`` of ``length``, at least one pixel; ``place`` is 0 at the start and 1 at the end."""
    extent = max(round(length * side), 1)
    start = round((length - extent) * place)
    return start, start + extent


def _check_side(name: str, side: float) -> None:
    if not 0 < side <= 1:
        raise ValueError(f'{name}={side} must be greater than 0 and at most 1, the whole image')
