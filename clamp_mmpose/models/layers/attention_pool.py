"""CLIP's attention pool with every query kept: an embedding per position besides the pooled one."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .position_table import crop_position_table, resize_position_table


def build_attention_pool(channels: int, num_heads: int, embed_dim: int, grid_size: tuple[int, int]) -> nn.Module:
    """open_clip's ``AttentionPool2d`` for a grid (h, w) of any shape; its own knows square ones only."""
    from open_clip.modified_resnet import AttentionPool2d
    pool = AttentionPool2d(1, channels, num_heads, embed_dim)
    pool.positional_embedding = nn.Parameter(torch.randn(1 + grid_size[0] * grid_size[1], channels) / channels**0.5)
    return pool


def attend(pool: nn.Module, x: Tensor, grid_size: tuple[int, int], *, crop: bool = False) -> tuple[Tensor, Tensor]:
    """``x`` (B, C, h, w) of any size -> the pooled embedding (B, D) and that of every position (B, D, h, w).

    The position table belongs to ``grid_size`` and is resized to (h, w); with ``crop`` its upper left corner is taken.
    """
    h, w = x.shape[-2:]
    tokens = x.flatten(2).permute(2, 0, 1)  # (h * w, B, C)
    tokens = torch.cat([tokens.mean(0, keepdim=True), tokens])
    fit = crop_position_table if crop else resize_position_table
    positions = fit(pool.positional_embedding, (h, w), source_grid=grid_size)
    tokens = tokens + positions[:, None].to(tokens.dtype)
    tokens, _ = F.multi_head_attention_forward(
        tokens, tokens, tokens, tokens.shape[-1], pool.num_heads,
        in_proj_weight=None,
        in_proj_bias=torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=pool.c_proj.weight,
        out_proj_bias=pool.c_proj.bias,
        training=pool.training,
        need_weights=False,
        use_separate_proj_weight=True,
        q_proj_weight=pool.q_proj.weight,
        k_proj_weight=pool.k_proj.weight,
        v_proj_weight=pool.v_proj.weight)
    dense = tokens[1:].permute(1, 2, 0)
    return tokens[0], dense.reshape(*dense.shape[:2], h, w)
