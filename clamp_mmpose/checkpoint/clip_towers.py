"""What the tensors of a CLIP tower say about its architecture."""
from __future__ import annotations

import dataclasses
import re

from torch import Tensor


@dataclasses.dataclass(frozen=True)
class TowerShape:
    """The architecture of one tower. ``blocks`` counts per stage, one stage for a transformer.

    ``embed_dim`` is None for a tower that ends before its embedding; it may then have fewer blocks than the full one.
    """

    kind: str
    width: int
    blocks: tuple[int, ...]
    patch_size: int | None = None
    vocab_size: int | None = None
    embed_dim: int | None = None

    def holds(self, other: TowerShape) -> bool:
        """Whether a tower of the shape ``other`` can take its weights from one of this shape."""
        same = all(
            getattr(self, field) == getattr(other, field) for field in ('kind', 'width', 'patch_size', 'vocab_size'))
        if other.embed_dim is not None:
            return same and self.blocks == other.blocks and self.embed_dim in (other.embed_dim, None)
        stages = len(other.blocks)
        return (same and len(self.blocks) >= stages and self.blocks[:stages - 1] == other.blocks[:stages - 1]
                and self.blocks[stages - 1] >= other.blocks[stages - 1])

    def __str__(self) -> str:
        blocks = '+'.join(str(count) for count in self.blocks)
        details = [f'{blocks} blocks', f'width {self.width}']
        for name, value in (('patch size', self.patch_size), ('vocabulary', self.vocab_size),
                            ('embedding', self.embed_dim)):
            if value is not None:
                details.append(f'{name} {value}')
        return f'{self.kind} ({", ".join(details)})'


def tower_shape(tensors: dict[str, Tensor]) -> TowerShape | None:
    """The architecture of the tower with these tensors (names without prefix); None when they are no CLIP tower."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if 'layer1.0.conv1.weight' in shapes and 'conv3.weight' in shapes:
        blocks = []
        while _count(shapes, rf'layer{len(blocks) + 1}'):
            blocks.append(_count(shapes, rf'layer{len(blocks) + 1}'))
        embedding = shapes.get('attnpool.c_proj.weight', (None,))[0]
        return TowerShape('CLIP ResNet', shapes['conv3.weight'][0], tuple(blocks), embed_dim=embedding)
    blocks = (_count(shapes, r'transformer\.resblocks'),)
    if 'class_embedding' in shapes and 'conv1.weight' in shapes:
        width, patch_size = shapes['conv1.weight'][0], shapes['conv1.weight'][-1]
        embedding = shapes.get('proj', (None,))[-1]
        return TowerShape('CLIP vision transformer', width, blocks, patch_size=patch_size, embed_dim=embedding)
    if 'token_embedding.weight' in shapes:
        vocab_size, width = shapes['token_embedding.weight']
        # open_clip keeps the projection as a matrix, or as a linear layer, which is its transpose.
        embedding = shapes.get('text_projection.weight', (None,))[0] or shapes.get('text_projection', (None,))[-1]
        return TowerShape('CLIP text transformer', width, blocks, vocab_size=vocab_size, embed_dim=embedding)
    return None


def _count(shapes: dict[str, tuple], prefix: str) -> int:
    return len({match[1] for match in (re.match(rf'{prefix}\.(\d+)\.', name) for name in shapes) if match})


def names_like(shape: TowerShape) -> list[str]:
    """open_clip's names of the architectures with a tower of this shape, shortest first."""
    import open_clip
    names = []
    for name in open_clip.list_models():
        config = open_clip.get_model_config(name)
        tower = config['text_cfg' if shape.vocab_size else 'vision_cfg']
        if _config_shape(tower, config['embed_dim'], shape) == shape:
            names.append(name)
    return sorted(names, key=len)


def _config_shape(tower: dict, embed_dim: int, like: TowerShape) -> TowerShape | None:
    if tower.get('timm_model_name') or tower.get('hf_model_name'):
        return None
    blocks = tower.get('layers', 12)
    embed_dim = None if like.embed_dim is None else embed_dim
    if like.vocab_size:
        return TowerShape('CLIP text transformer', tower.get('width', 512), (blocks,),
                          vocab_size=tower.get('vocab_size', 49408), embed_dim=embed_dim)
    if isinstance(blocks, (list, tuple)):
        return TowerShape('CLIP ResNet', tower.get('width', 64), tuple(blocks), embed_dim=embed_dim)
    return TowerShape('CLIP vision transformer', tower.get('width', 768), (blocks,),
                      patch_size=tower.get('patch_size', 16), embed_dim=embed_dim)
