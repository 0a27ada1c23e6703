from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .full_precision import full_precision


def resize_position_table(table: Tensor,
                          target_grid: tuple[int, int],
                          *,
                          source_grid: tuple[int, int] | None = None) -> Tensor:
    """Resizes a table of learned positions, (1 + h * w, C), to another grid.

    Bilinear with ``align_corners=False``; the first row (class token or pooled token) is left as it is. Without
    ``source_grid`` = (h, w) the table must be that of a square grid.
    """
    num_positions = table.shape[0] - 1
    if source_grid is None:
        side = math.isqrt(num_positions)
        source_grid = (side, side)
    if source_grid[0] * source_grid[1] != num_positions:
        raise ValueError(f'a position table of {table.shape[0]} rows does not belong to a grid of {source_grid} '
                         '(h, w) plus one; pass source_grid, or take a table of a square grid')
    if tuple(source_grid) == tuple(target_grid):
        return table
    first, positions = table[:1], table[1:]
    grid = positions.reshape(1, *source_grid, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(full_precision(grid), size=tuple(target_grid), mode='bilinear', align_corners=False)
    return torch.cat([first, grid.flatten(2)[0].t().to(table.dtype)])


def crop_position_table(table: Tensor, target_grid: tuple[int, int], *, source_grid: tuple[int, int]) -> Tensor:
    """The positions of the upper left corner of a table for ``source_grid``, (1 + h * w, C), and its first row.

    Raises ValueError where the corner is larger than the table.
    """
    h, w = target_grid
    if h > source_grid[0] or w > source_grid[1]:
        raise ValueError(f'a map of {(h, w)} (h, w) is larger than the position table, which is for '
                         f'{tuple(source_grid)} and is cropped; take a larger input_size')
    return torch.cat([table[:1], table[1:].unflatten(0, source_grid)[:h, :w].flatten(0, 1)])


def height_and_width(input_size: Sequence[int]) -> tuple[int, int]:
    """(W, H), as MMPose writes sizes, to (H, W), as tensors have them."""
    try:
        width, height = map(operator.index, input_size)
    except (TypeError, ValueError):
        raise ValueError(f'input_size={input_size!r} must be two whole numbers, (W, H) in pixels') from None
    return height, width
