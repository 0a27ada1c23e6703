from __future__ import annotations

from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor

from .attention_pool import attend, build_attention_pool
from .position_table import height_and_width, resize_position_table


@MODELS.register_module()
class DenseAttentionPool(BaseModule):
    """Learns an image embedding for a backbone that has none: CLIP's attention pool, from scratch.

    Any-backbone DenseCLIP (Sec. 4.3; that the layer is an attention pool, the authors say in their issue 47). A map
    (B, C, h, w) of any size gives ``dense`` (B, D, h, w) and ``pooled`` (B, D).

    From random weights its attention is nearly even: at first every position gets the same embedding. It needs the
    longer schedules; :class:`DenseProjection` tells positions apart from the first step.

    Args:
        in_channels: C of the map.
        embed_dim: D of the text embedding; the neck fills it in.
        input_size: (W, H) in pixels, with ``stride`` the size that the position table has. Other sizes run too, and
            checkpoints of other sizes load, with the table resized.
        num_heads: of the attention; None takes 64 channels for each.
    """

    def __init__(self,
                 in_channels: int,
                 embed_dim: int,
                 *,
                 input_size: tuple[int, int] = (256, 256),
                 stride: int = 32,
                 num_heads: int | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if in_channels < 1 or stride < 1:
            raise ValueError(f'in_channels={in_channels} and stride={stride} must be 1 or more')
        num_heads = max(in_channels // 64, 1) if num_heads is None else num_heads
        if num_heads < 1 or in_channels % num_heads:
            raise ValueError(f'num_heads={num_heads} does not divide in_channels={in_channels}')
        self.in_channels = in_channels
        height, width = height_and_width(input_size)
        if min(height, width) < 1:
            raise ValueError(f'input_size={tuple(input_size)} (W, H) must be positive')
        self.grid_size = (-(-height // stride), -(-width // stride))
        self.pool = build_attention_pool(in_channels, num_heads, embed_dim, self.grid_size)
        self._register_state_dict_hook(_save_grid)
        self._register_load_state_dict_pre_hook(self._resize_loaded_positions)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled, dense = attend(self.pool, x, self.grid_size)
        return dense, pooled

    def _resize_loaded_positions(self, state_dict: dict, prefix: str, local_metadata: dict, *args) -> None:
        key = f'{prefix}pool.positional_embedding'
        if key in state_dict:
            state_dict[key] = resize_position_table(
                state_dict[key], self.grid_size, source_grid=local_metadata.get('grid_size'))


def _save_grid(module: DenseAttentionPool, state_dict: dict, prefix: str, local_metadata: dict) -> None:
    local_metadata['grid_size'] = module.grid_size
