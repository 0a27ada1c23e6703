from __future__ import annotations

from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class DenseProjection(BaseModule):
    """Learns an image embedding for a backbone that has none: a layer norm and a linear layer at every position.

    What a CLIP ViT does to its tokens, and an alternative to the paper's :class:`DenseAttentionPool` that costs next to
    nothing and takes maps of any stride. A map (B, C, h, w) gives ``dense`` (B, D, h, w) and its mean, ``pooled``
    (B, D).

    Args:
        in_channels: C of the map.
        embed_dim: D of the text embedding; the neck fills it in.
    """

    def __init__(self, in_channels: int, embed_dim: int, *, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if in_channels < 1:
            raise ValueError(f'in_channels={in_channels} must be 1 or more')
        self.in_channels = in_channels
        self.norm = nn.LayerNorm(in_channels)
        self.proj = nn.Linear(in_channels, embed_dim, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        dense = self.proj(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return dense, dense.mean((2, 3))
