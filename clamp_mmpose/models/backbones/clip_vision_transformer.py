from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn

from ...structures import VisionLanguageFeatures
from ..layers.clip_architecture import CLIPArchitecture, add_stochastic_depth
from ..layers.position_table import resize_position_table
from .clip_backbone import CLIPBackbone


@MODELS.register_module()
class CLIPVisionTransformer(CLIPBackbone):
    """CLIP's image tower as a backbone: open_clip's ViT, with an embedding at every position.

    Returns :class:`VisionLanguageFeatures`: the maps of the blocks ``out_indices`` (before ``ln_post``; (B, C, h, w) at
    the stride of the patch), ``dense`` (B, D, h, w) (``ln_post`` and projection on every token, as the released CLAMP
    and DenseCLIP do) and ``pooled`` (B, D), which at the native size is open_clip's ``encode_image``.

    Args:
        arch: see :class:`CLIPBackbone`; 'ViT-B-32', 'ViT-B-16', 'ViT-L-14', ... ('-quickgelu' for OpenAI's weights).
        input_size: (W, H) in pixels, a multiple of the patch size.
        out_indices: blocks whose maps are returned, in ascending order; negative ones count from the end.
        frozen_stages: -1 freezes nothing, 0 the embeddings, n also the first n blocks.
        drop_path_rate: stochastic depth, from 0 at the first block to this rate at the last.
        with_embedding: False leaves out ``ln_post``, the projection, and blocks behind the last output.
        with_cp: trades time for memory by gradient checkpointing of the blocks.
        double_class_embedding: adds the class embedding twice to the class token. The released CLAMP and DenseCLIP do
            (an acknowledged slip), so their checkpoints need it; CLIP's own weights do not.
    """

    _position_key = 'tower.positional_embedding'

    def __init__(self,
                 arch: str | dict = 'ViT-B-16-quickgelu',
                 *,
                 input_size: tuple[int, int] = (224, 224),
                 out_indices: Sequence[int] = (-1, ),
                 frozen_stages: int = -1,
                 drop_path_rate: float = 0.0,
                 with_embedding: bool = True,
                 with_cp: bool = False,
                 quick_gelu: bool | None = None,
                 double_class_embedding: bool = False,
                 init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(
            arch,
            input_size=input_size,
            frozen_stages=frozen_stages,
            with_embedding=with_embedding,
            with_cp=with_cp,
            quick_gelu=quick_gelu,
            init_cfg=init_cfg)
        tower = self.tower
        blocks = tower.transformer.resblocks
        self.double_class_embedding = double_class_embedding
        self.out_indices = _resolve_indices(out_indices, len(blocks))
        add_stochastic_depth([[block.ls_1, block.ls_2] for block in blocks], drop_path_rate, depth=len(blocks))
        if with_embedding:
            if tower.attn_pool is not None or tower.proj is None:
                raise ValueError(f"arch='{arch}' pools by attention and has no embedding per position; "
                                 'with_embedding=False uses its maps alone')
        else:
            tower.transformer.resblocks = blocks[:self.out_indices[-1] + 1]
            tower.ln_post, tower.proj, tower.attn_pool = nn.Identity(), None, None
        tower.set_grad_checkpointing(with_cp)
        self._freeze()

    def forward(self, x: Tensor) -> VisionLanguageFeatures:
        """x: (B, 3, H, W), normalised."""
        h, w = self._grid(*x.shape[-2:])
        tower = self.tower
        tokens, maps = tower.transformer.forward_intermediates(self._embed(x, (h, w)), indices=self.out_indices)
        maps = [_to_map(tokens_of_block, h, w) for tokens_of_block in maps]
        if not self.with_embedding:
            return VisionLanguageFeatures(maps)
        embedding = tower.ln_post(tokens) @ tower.proj
        pooled = embedding[:, 0]
        if tower.pool_type != 'tok' or tower.final_ln_after_pool:
            pooled = tower._pool(tokens)[0] @ tower.proj
        return VisionLanguageFeatures(maps, dense=_to_map(embedding, h, w), pooled=pooled)

    def _embed(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        tower = self.tower
        x = tower.conv1(x).flatten(2).transpose(1, 2)
        first = tower.class_embedding * (2 if self.double_class_embedding else 1)
        x = torch.cat([first.to(x.dtype).expand(x.shape[0], 1, -1), x], dim=1)
        positions = resize_position_table(tower.positional_embedding, grid, source_grid=self.grid_size)
        return tower.ln_pre(x + positions.to(x.dtype))

    def _stages(self) -> list[list[nn.Module | Tensor]]:
        tower = self.tower
        embeddings = [tower.conv1, tower.class_embedding, tower.positional_embedding, tower.ln_pre]
        return [embeddings, *([block] for block in tower.transformer.resblocks)]

    @staticmethod
    def _check_arch(vision_cfg: dict, arch: str | dict) -> None:
        if isinstance(vision_cfg.get('layers'), (list, tuple)):
            raise ValueError(f"arch='{arch}' is a ResNet; its backbone is CLIPResNet")

    @staticmethod
    def _stride(vision_cfg: dict) -> int:
        return vision_cfg.get('patch_size', 16)

    @staticmethod
    def _build_tower(architecture: CLIPArchitecture, grid: tuple[int, int]) -> nn.Module:
        from open_clip.model import _build_vision_tower
        patch = CLIPVisionTransformer._stride(architecture.tower)
        config = dict(architecture.tower, image_size=(grid[0] * patch, grid[1] * patch))
        return _build_vision_tower(architecture.embed_dim, config, architecture.quick_gelu)


def _to_map(tokens: Tensor, h: int, w: int) -> Tensor:
    """(B, 1 + h * w, C) with the class token first -> (B, C, h, w)."""
    x = tokens[:, 1:].transpose(1, 2)
    return x.reshape(*x.shape[:2], h, w)


def _resolve_indices(out_indices: Sequence[int], num_blocks: int) -> list[int]:
    indices = [index + num_blocks if index < 0 else index for index in out_indices]
    if not indices or indices != sorted(set(indices)) or not 0 <= indices[0] <= indices[-1] < num_blocks:
        raise ValueError(f'out_indices={tuple(out_indices)} must be ascending and name blocks 0 to {num_blocks - 1}')
    return indices
