from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class _Attention(nn.Module):
    """Multi-head attention whose query, key and value projections have no bias, as in the released DenseCLIP."""

    def __init__(self, dim: int, num_heads: int, *, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(dim, dim, bias=False)
        self.k_proj = nn.Linear(dim, dim, bias=False)
        self.v_proj = nn.Linear(dim, dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(dropout)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        q, k, v = (
            proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for proj, x in ((self.q_proj, query), (self.k_proj, memory), (self.v_proj, memory)))
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj_drop(self.proj(x.transpose(1, 2).flatten(2)))


class _DecoderLayer(nn.Module):
    """Pre-norm self attention, cross attention to the memory, and an MLP, each with a residual."""

    def __init__(self, dim: int, num_heads: int, *, dropout: float, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.self_attn = _Attention(dim, num_heads, dropout=dropout)
        self.cross_attn = _Attention(dim, num_heads, dropout=dropout)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.self_attn(normed, normed)
        x = x + self.cross_attn(self.norm2(x), memory)
        return x + self.dropout(self.mlp(self.norm3(x)))


class ContextDecoder(nn.Module):
    """Lets the prompts look at the image: cross attention from K prompts to the image tokens.

    Post-model prompting of DenseCLIP (Eq. 5), which CLAMP takes over. DenseCLIP's text says 6 layers; the released
    configurations of both methods use 3, and only 3 gives the parameters of DenseCLIP's Table 1.

    ``text`` (B, K, D) and ``memory`` (B, N, D) give (B, K, D). The order of the N tokens does not matter, and permuting
    the K prompts permutes the output. ``memory_dim`` is the width of the memory where it differs: pre-model prompting
    (Eq. 4) queries with contexts of the text tower's width.
    """

    def __init__(self,
                 embed_dim: int,
                 *,
                 memory_dim: int | None = None,
                 width: int = 256,
                 num_heads: int = 4,
                 num_layers: int = 3,
                 mlp_ratio: float = 4.0,
                 dropout: float = 0.1) -> None:
        super().__init__()
        if min(width, num_heads, num_layers) < 1:
            raise ValueError(f'width={width}, num_heads={num_heads} and num_layers={num_layers} must be 1 or more')
        if width % num_heads:
            raise ValueError(f'num_heads={num_heads} does not divide width={width}')
        memory_dim = memory_dim or embed_dim
        self.memory_proj = nn.Sequential(nn.LayerNorm(memory_dim), nn.Linear(memory_dim, width), nn.LayerNorm(width))
        self.text_proj = nn.Sequential(nn.LayerNorm(embed_dim), nn.Linear(embed_dim, width))
        self.decoder = nn.ModuleList(
            _DecoderLayer(width, num_heads, dropout=dropout, mlp_ratio=mlp_ratio) for _ in range(num_layers))
        self.out_proj = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, embed_dim))
        self.apply(self._init)

    def forward(self, text: Tensor, memory: Tensor) -> Tensor:
        memory = self.memory_proj(memory)
        x = self.text_proj(text)
        for layer in self.decoder:
            x = layer(x, memory)
        return self.out_proj(x)

    @staticmethod
    def _init(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
