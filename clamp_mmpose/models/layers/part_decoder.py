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
        matched_parts: None, or the number of parts, for another last layer: it matches each part with ``keys``, which
            ``forward`` gets. How well a cell matches is its evidence of the part, and the softmax over all cells the
            response map, so that what tells of a part and where it is looked for are one. Ours.
    """

    def __init__(self,
                 channels: int,
                 *,
                 num_layers: int = 6,
                 num_heads: int = 8,
                 feedforward_channels: int = 2048,
                 dropout: float = 0.1,
                 matched_parts: int | None = None) -> None:
        super().__init__()
        check_transformer('part_decoder', channels, num_heads, num_layers)
        arguments = (channels, num_heads, feedforward_channels, dropout)
        self.layers = nn.ModuleList(nn.TransformerDecoderLayer(*arguments) for _ in range(num_layers - 1))
        self.layers.append(_ResponseLayer(*arguments) if matched_parts is None else _MatchingLayer(
            channels, num_heads, dropout, matched_parts))
        for module in self.modules():
            if isinstance(module, nn.MultiheadAttention):
                module.dropout = 0.0
        init_transformer(self)
        self.matched_parts = matched_parts

    def forward(self, prototypes: Tensor, memory: Tensor,
                keys: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        """prototypes: (B, C, D); memory: (B, D, H, W); keys: as the memory, for ``matched_parts``.

        Returns response maps (B, C, H, W), the features (B, C, D) of the parts, and the evidence, (B, C, H, W), if
        parts are matched.
        """
        size = tuple(memory.shape[-2:])
        memory = memory.flatten(2).permute(2, 0, 1)
        x = prototypes.transpose(0, 1)
        for layer in self.layers[:-1]:
            x = layer(x, memory)
        if self.matched_parts is None:
            x, responses = self.layers[-1](x, memory)
            return responses.unflatten(-1, size), x.transpose(0, 1), None
        x, responses, evidence = self.layers[-1](x, memory, keys.flatten(2).permute(2, 0, 1))
        return responses.unflatten(-1, size), x.transpose(0, 1), evidence.unflatten(-1, size)

    @property
    def sharpness(self) -> Tensor:
        """By which the evidence is multiplied before the softmax."""
        return self.layers[-1].log_sharpness.exp()


class _ResponseLayer(nn.TransformerDecoderLayer):

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm1(x + self.dropout1(self.self_attn(x, x, x, need_weights=False)[0]))
        attended, responses = self.multihead_attn(x, memory, memory)  # (C, B, D), (B, C, H * W)
        pooled = torch.einsum('bcn,nbd->cbd', responses.to(memory.dtype), memory)
        x = self.norm2(pooled + self.dropout2(attended))
        x = self.norm3(x + self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x))))))
        return x, responses


_NOTHING_SEEN = -2.0  # evidence of a part, at first
_CONTEXT = 0.1


class _MatchingLayer(nn.Module):
    """Evidence of a part in a cell: the inner product of the part's query and the cell's key, and a bias of the part.

    What parts tell each other, and what the memory tells of the rest of the image, is added with a factor for each
    channel that starts at 0.1 (LayerScale, Touvron et al., ICCV 2021): a part is first of all looked for by itself.
    """

    def __init__(self, channels: int, num_heads: int, dropout: float, num_parts: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.self_attn = nn.MultiheadAttention(channels, num_heads)
        self.dropout = nn.Dropout(dropout)
        self.key = nn.Linear(channels, channels)
        self.query_scale, self.key_scale = (nn.Parameter(torch.full((channels, ), _CONTEXT)) for _ in range(2))
        self.bias = nn.Parameter(torch.full((num_parts, ), _NOTHING_SEEN))
        self.log_sharpness = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, memory: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = self.norm(x)
        queries = x + self.query_scale * self.dropout(self.self_attn(y, y, y, need_weights=False)[0])
        keys = keys + self.key_scale * self.key(memory)
        evidence = torch.einsum('cbd,nbd->bcn', queries, keys) / queries.shape[-1]**0.5 + self.bias[:, None]
        responses = (evidence * self.log_sharpness.exp()).softmax(-1)
        return torch.einsum('bcn,nbd->cbd', responses, keys), responses, evidence
