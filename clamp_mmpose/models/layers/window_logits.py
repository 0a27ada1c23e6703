from __future__ import annotations

import torch
from torch import Tensor


def window_logits(evidence: Tensor, sharpness: Tensor, boxes: Tensor,
                  input_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Logits of the parts in windows of an image, which has been looked at once.

    In each window the response map is the softmax over the cells that lie in it, and the logit the mean of the
    evidence under it. So the same cells have to explain labels that differ between windows. Cell i of a map of stride s
    lies at pixel s * i, where codecs decode it.

    Args:
        evidence: (B, C, H, W); ``sharpness``: factor of it in the softmax.
        boxes: (B, W, 4), x1 y1 x2 y2 in pixels of the input; NaN where there is no window.
        input_size: (w, h) of the input, in pixels.

    Returns:
        logits (M, C) of the M windows in which there is a cell, and which these are, (B, W).
    """
    inside = _cells_inside(boxes.to(evidence), evidence.shape[-2:], input_size)  # (B, W, N)
    known = inside.any(-1)
    image = known.nonzero()[:, 0]
    cells = evidence.flatten(2)[image]  # (M, C, N)
    scores = (cells * sharpness).masked_fill(~inside[known][:, None], -torch.inf)
    return (scores.softmax(-1) * cells).sum(-1), known


def _cells_inside(boxes: Tensor, size: tuple[int, int], input_size: tuple[int, int]) -> Tensor:
    """(B, W, H * W): whether the place of a cell lies in the box; never in one of NaN."""
    x, y = (torch.arange(cells, device=boxes.device, dtype=boxes.dtype) * (pixels / cells)
            for cells, pixels in zip(size[::-1], input_size))
    columns = (x >= boxes[..., 0, None]) & (x < boxes[..., 2, None])
    rows = (y >= boxes[..., 1, None]) & (y < boxes[..., 3, None])
    return (rows[..., :, None] & columns[..., None, :]).flatten(2)
