from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .resize_map import resize_map


class ContextEncoder(nn.Module):
    """Self-attention within each scale, and one memory of all scales (MSC-En of LOFR, Eq. 5 to 9).

    The layers are DETR's, and the same for every scale. Their outputs, resized to the finest scale, go through one
    linear layer together.

    The layers run with the tokens first and without dropout on the attention weights: otherwise torch leaves its fused
    kernels (in evaluation, and on the CPU) and holds N x N weights for each head.

    Args:
        num_scales: how many maps ``forward`` gets.
        dropout: behind attention and in the feed-forward layers.
        with_cp: keeps of each layer only its input, and computes the rest again in the backward pass. Less memory, a
            third more time.
    """

    def __init__(self,
                 channels: int,
                 num_scales: int,
                 *,
                 num_layers: int = 4,
                 num_heads: int = 8,
                 feedforward_channels: int = 2048,
                 dropout: float = 0.1,
                 with_cp: bool = False) -> None:
        super().__init__()
        check_transformer('encoder', channels, num_heads, num_layers)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(channels, num_heads, feedforward_channels, dropout) for _ in range(num_layers))
        self.fuse = nn.Conv2d(num_scales * channels, channels, 1) if num_scales > 1 else nn.Identity()
        self.with_cp = with_cp
        for layer in self.layers:
            layer.self_attn.dropout = 0.0
        init_transformer(self.layers)

    def forward(self, tokens: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> Tensor:
        """tokens: one (h * w, B, D) for each scale, the finest first; sizes: their (h, w). Returns (B, D, H, W)."""
        maps = [
            self._encode(x).permute(1, 2, 0).unflatten(-1, tuple(size)) for x, size in zip(tokens, sizes)
        ]
        return self.fuse(torch.cat([resize_map(x, sizes[0]) for x in maps], 1))

    def _encode(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            if self.with_cp and self.training and x.requires_grad:
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
        return x


def check_transformer(name: str, channels: int, num_heads: int, num_layers: int) -> None:
    """Raises ValueError where the arguments of the transformer ``name`` do not fit together."""
    if min(num_heads, num_layers) < 1:
        raise ValueError(f'num_heads={num_heads} and num_layers={num_layers} of {name} must be 1 or more')
    if channels % num_heads:
        raise ValueError(f'num_heads={num_heads} of {name} does not divide channels={channels}')


def init_transformer(module: nn.Module) -> None:
    """DETR's: Xavier for every matrix."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
