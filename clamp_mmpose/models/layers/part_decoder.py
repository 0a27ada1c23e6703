from __future__ import annotations

import torch
from torch import Tensor, nn

from .context_encoder import check_transformer, init_transformer


class PartDecoder(nn.Module):
    """Lets each prototype look for its part in the memory (RGP-De of LOFR).

    DETR's decoder layers; where the last one looks is the response map of the part, the mean over its heads.
    Dropout leaves the attention weights alone, so that a response map sums to 1 in training too.

    In the last layer the residual behind the cross-attention is not the prototype but the memory, pooled by the
    response map: a part's feature knows of the image what its map looks at, and nothing of what was asked for.
    So a part that is classified right was looked at. (The paper pools by the map and says no more.)

    Args:
        local: the last layer pools other features than the memory, which ``forward`` gets, and does nothing else with
            them: what is read off a part is a weighted mean of what is read off its cells.
    """

    def __init__(self,
                 channels: int,
                 *,
                 num_layers: int = 6,
                 num_heads: int = 8,
                 feedforward_channels: int = 2048,
                 dropout: float = 0.1,
                 local: bool = False) -> None:
        super().__init__()
        check_transformer('part_decoder', channels, num_heads, num_layers)
        arguments = (channels, num_heads, feedforward_channels, dropout)
        self.layers = nn.ModuleList(nn.TransformerDecoderLayer(*arguments) for _ in range(num_layers - 1))
        self.layers.append(_LocalResponseLayer(channels, num_heads, dropout) if local else _ResponseLayer(*arguments))
        for module in self.modules():
            if isinstance(module, nn.MultiheadAttention):
                module.dropout = 0.0
        init_transformer(self)
        self.local = local

    def forward(self, prototypes: Tensor, memory: Tensor, features: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """prototypes: (B, C, D); memory: (B, D, H, W); features: as the memory, for ``local``.

        Returns response maps (B, C, H, W) and the features (B, C, D) of the parts.
        """
        size = memory.shape[-2:]
        memory = memory.flatten(2).permute(2, 0, 1)
        x = prototypes.transpose(0, 1)
        for layer in self.layers[:-1]:
            x = layer(x, memory)
        pooled = features.flatten(2).permute(2, 0, 1) if self.local else memory
        x, responses = self.layers[-1](x, memory, pooled)
        return responses.unflatten(-1, tuple(size)), x.transpose(0, 1)


class _ResponseLayer(nn.TransformerDecoderLayer):

    def forward(self, x: Tensor, memory: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm1(x + self.dropout1(self.self_attn(x, x, x, need_weights=False)[0]))
        attended, responses = self.multihead_attn(x, memory, memory)  # (C, B, D), (B, C, H * W)
        pooled = torch.einsum('bcn,nbd->cbd', responses.to(memory.dtype), features)
        x = self.norm2(pooled + self.dropout2(attended))
        x = self.norm3(x + self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x))))))
        return x, responses


class _LocalResponseLayer(nn.Module):
    """Looks like the layer above, and pools. What it does not need, a value and all behind it, is not there."""

    def __init__(self, channels: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(channels, num_heads)
        self.norm1, self.dropout1 = nn.LayerNorm(channels), nn.Dropout(dropout)
        self.query, self.key = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.num_heads = num_heads

    def forward(self, x: Tensor, memory: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm1(x + self.dropout1(self.self_attn(x, x, x, need_weights=False)[0]))
        queries, keys = (y.unflatten(-1, (self.num_heads, -1)) for y in (self.query(x), self.key(memory)))
        scores = torch.einsum('cbhd,nbhd->bhcn', queries, keys) / queries.shape[-1]**0.5
        responses = scores.softmax(-1).mean(1)
        return torch.einsum('bcn,nbd->cbd', responses, features), responses
