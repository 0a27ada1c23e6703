from __future__ import annotations

import torch
from torch import Tensor, nn

from .resize_map import resize_map

_MODES = ('max', 'project')


class SpatialPositionEncoding(nn.Module):
    """Tells the encoder where the activation maps see keypoints (SPE of LOFR, Eq. 3 and 4).

    F' = psi(F * F^key + F), with psi a linear layer and a layer norm. The paper's cross product of F, of D channels,
    and F^key, of C, is not defined; here F^key becomes a factor for each cell. No gradient goes through F^key, which
    comes from an argmax.

    Args:
        mode: 'max' takes the greatest of the C keypoint maps as factor of all channels; 'project' makes D factors of
            the C maps by a linear layer.
        sigma: of the Gaussian around the maximum of an activation map, in that map's cells.
    """

    def __init__(self, channels: int, num_keypoints: int, *, mode: str = 'max', sigma: float = 2.0) -> None:
        super().__init__()
        if mode not in _MODES:
            raise ValueError(f"mode='{mode}' of spe must be one of {_MODES}")
        if sigma <= 0:
            raise ValueError(f'sigma={sigma} of spe must be above 0')
        self.sigma = sigma
        self.project = nn.Linear(num_keypoints, channels) if mode == 'project' else None
        self.psi = nn.Sequential(nn.Linear(channels, channels), nn.LayerNorm(channels))

    def forward(self, features: Tensor, keypoint_maps: Tensor) -> Tensor:
        """features: (B, D, H, W); keypoint_maps: (B, C, h, w); returns tokens (H * W, B, D)."""
        factor = _tokens(resize_map(keypoint_maps, features.shape[-2:]).to(features.dtype))
        factor = factor.amax(-1, keepdim=True) if self.project is None else self.project(factor)
        features = _tokens(features)
        return self.psi(features * factor + features)

    @torch.no_grad()
    def keypoint_maps(self, activations: Tensor) -> Tensor:
        """F^key (B, C, h, w) in [0, 1]: around the maximum of each activation map, the map itself, its maximum 1.

        A map that is negative everywhere has no keypoint in it, and gives 0.
        """
        B, C, h, w = activations.shape
        flat = activations.float().flatten(2).relu()
        peak, index = flat.max(-1, keepdim=True)
        rows, columns = (torch.arange(n, device=flat.device, dtype=flat.dtype) for n in (h, w))
        dy, dx = rows - torch.div(index, w, rounding_mode='floor'), columns - index % w
        gaussian = (-(dy.square()[..., :, None] + dx.square()[..., None, :]) / (2 * self.sigma**2)).exp()
        return gaussian * (flat / peak.clamp(min=torch.finfo(flat.dtype).tiny)).reshape(B, C, h, w)


def _tokens(maps: Tensor) -> Tensor:
    return maps.flatten(2).permute(2, 0, 1)
