"""Fills one tower of a CLIP model from a file, or says why it cannot."""
from __future__ import annotations

import dataclasses
import re

import torch
from torch import Tensor, nn

from ..models.layers.position_table import resize_position_table
from .clip_files import CLIPFile
from .clip_towers import TowerShape, names_like, tower_shape
from .safe_loading import CheckpointError

PARTS = {'visual': 'image', 'text': 'text'}
# Position tables over the grid of the image: of the vision transformer, and of the ResNet's attention pool.
GRID_TABLES = ('positional_embedding', 'attnpool.positional_embedding')


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What became of each tensor. ``missing``: of the tower, not in the file; ``left_over``: the other way round.

    ``resized`` maps a position table to (rows in the file, rows in the tower).
    """

    loaded: list[str]
    resized: dict[str, tuple[int, int]]
    missing: list[str]
    left_over: list[str]

    def __str__(self) -> str:
        resized = ', '.join(f'{name} from {before} to {after} rows' for name, (before, after) in self.resized.items())
        return (f'{len(self.loaded)} tensors loaded; resized: {resized or "none"}; missing: '
                f'{shorten(self.missing)}; left over: {shorten(self.left_over)}')


def shorten(names: list[str]) -> str:
    """Lists names, those of one block as one: 'transformer.resblocks.3.* (12)'."""
    groups: dict[str, list[str]] = {}
    for name in names:
        block = re.match(r'(transformer\.resblocks\.\d+|layer\d+)\.', name)
        groups.setdefault(f'{block[1]}.*' if block else name, []).append(name)
    return ', '.join(
        members[0] if len(members) == 1 else f'{group} ({len(members)})' for group, members in groups.items()) or 'none'


@torch.no_grad()
def load_clip_tower(module: nn.Module, file: CLIPFile, *, allow_missing: bool = False) -> LoadReport:
    """Copies the weights of ``file`` into ``module.tower``, in the tower's own precision.

    Position tables are resized: those of an image bilinearly to ``module.grid_size`` = (h, w), that of the text to its
    first rows. Raises ``CheckpointError`` for a file without such a tower or, unless ``allow_missing``, without some of
    its tensors, and ValueError for another architecture.
    """
    part = module.clip_part
    tensors, own = file.tower(part), module.tower.state_dict()
    _check_architecture(module, file, tensors)
    values, resized = {}, {}
    for name in own:
        if name not in tensors:
            continue
        values[name] = _fit_positions(module, file, name, tensors[name], own[name])
        if values[name] is not tensors[name]:
            resized[name] = (len(tensors[name]), len(values[name]))
        if values[name].shape != own[name].shape:
            raise ValueError(f'{name} of {file.path} is {tuple(tensors[name].shape)}, and that of '
                             f'{_describe(module)} {tuple(own[name].shape)}')
    missing = [name for name in own if name not in values]
    # BatchNorm's count of batches is no weight, and older files lack it.
    needed = [name for name in missing if not name.endswith('num_batches_tracked')]
    if needed and not allow_missing:
        raise CheckpointError(
            f'{file.path} lacks {len(needed)} tensors of {_describe(module)}: {shorten(needed)}. '
            'allow_missing=True in init_cfg leaves them as they are initialized.')
    for name, value in values.items():
        own[name].copy_(value)
    return LoadReport(list(values), resized, missing, [name for name in tensors if name not in own])


def _fit_positions(module: nn.Module, file: CLIPFile, name: str, tensor: Tensor, own: Tensor) -> Tensor:
    if module.clip_part == 'text':
        if name != 'positional_embedding' or len(tensor) == len(own):
            return tensor
        if len(tensor) < len(own):
            raise ValueError(f'{_describe(module)} has context_length={len(own)}, but {file.path} has positions for '
                             f'{len(tensor)} tokens only; choose at most that many')
        return tensor[:len(own)]
    if name not in GRID_TABLES:
        return tensor
    try:
        return resize_position_table(tensor, module.grid_size)
    except ValueError as error:
        raise ValueError(f'{name} of {file.path} cannot be resized to the grid {tuple(module.grid_size)} (h, w) of '
                         f'{_describe(module)}: {error}') from error


def _check_architecture(module: nn.Module, file: CLIPFile, tensors: dict[str, Tensor]) -> None:
    found, wanted = tower_shape(tensors), tower_shape(module.tower.state_dict())
    if found is None:
        raise CheckpointError(_explain_foreign(module, file))
    if not found.holds(wanted):
        raise ValueError(f'{file.path} holds the weights of a {found}{_name(found)}; {_describe(module)} is a '
                         f'{wanted}. Choose the arch of the weights, or the weights of the arch.')


def _explain_foreign(module: nn.Module, file: CLIPFile) -> str:
    wanted, other = PARTS[module.clip_part], 'text' if module.clip_part == 'visual' else 'visual'
    if tower_shape(file.tower(other)) is not None:
        return f'{file.path} holds a CLIP {PARTS[other]} tower, but no {wanted} tower for {_describe(module)}'
    names = sorted(file.tensors)
    message = (f'{file.path} is not CLIP: none of its {len(names)} tensors ({", ".join(names[:3])}, ...) is of a CLIP '
               f'{wanted} tower, which {_describe(module)} needs')
    if any(name.startswith('backbone.') for name in names):
        message += ". It looks like a checkpoint of MMPose, which goes into load_from or type='Pretrained'"
    return message


def _describe(module: nn.Module) -> str:
    name = getattr(module, 'arch_name', None)
    return f'{type(module).__name__}' + (f" with arch='{name}'" if name else '')


def _name(shape: TowerShape) -> str:
    names = names_like(shape)
    return f', such as {" or ".join(repr(name) for name in names[:2])}' if names else ''
