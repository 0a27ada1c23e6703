from __future__ import annotations

import torch
from torch import Tensor, nn

from .full_precision import full_precision
from .separable_maps import SeparableMaps


class HeatmapBottleneck(nn.Module):
    """Reduces each map to one point and draws a Gaussian there; nothing else of the map passes (Eq. 1 and 2 of MeTTA).

    Takes and gives (B, K, H, W), in float32 or finer. The peak is 1 where the point lies on a cell, less between cells.

    Args:
        sigma: of the Gaussian, in cells. The supplement gives none; 2 is TTP's.
    """

    def __init__(self, sigma: float = 2.0) -> None:
        super().__init__()
        if not sigma > 0:
            raise ValueError(f'sigma={sigma} must be greater than 0')
        self.sigma = sigma

    def forward(self, maps: Tensor) -> Tensor:
        return self.separable(maps).dense()

    def separable(self, maps: Tensor) -> SeparableMaps:
        """The same Gaussians as the products that they are."""
        H, W = maps.shape[-2:]
        x, y = self.keypoints(maps).unbind(-1)
        return SeparableMaps(self._profile(y, H), self._profile(x, W))

    def keypoints(self, maps: Tensor) -> Tensor:
        """(B, K, 2): x and y of each map's expectation under its softmax over all cells (Eq. 1); (0, 0) is the centre
        of the first cell."""
        H, W = maps.shape[-2:]
        probabilities = full_precision(maps).flatten(-2).softmax(-1).unflatten(-1, (H, W))
        x = probabilities.sum(-2) @ _cells(W, probabilities)
        y = probabilities.sum(-1) @ _cells(H, probabilities)
        return torch.stack([x, y], -1)

    def extra_repr(self) -> str:
        return f'sigma={self.sigma}'

    def _profile(self, centre: Tensor, size: int) -> Tensor:
        """The Gaussian along one axis; over two axes it is a product (Eq. 2)."""
        distance = _cells(size, centre) - centre[..., None]
        return torch.exp(-distance.square() / (2 * self.sigma**2))


def _cells(size: int, like: Tensor) -> Tensor:
    return torch.arange(size, dtype=like.dtype, device=like.device)
