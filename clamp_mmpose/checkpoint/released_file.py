"""The files in which the authors of CLAMP and DenseCLIP released their models."""
from __future__ import annotations

import ast
import dataclasses
import os
from typing import Any

from torch import Tensor

from .clip_towers import TowerShape, tower_shape
from .released_names import CLAMP_PARTS, DETECTION_PARTS, OPTIONAL_RELEASED_PARTS, SEGMENTATION_PARTS, SHARED_PARTS
from .safe_loading import CheckpointError, safe_load

# How our own names begin, MMPose's 1.x too, and those of CLIP's files.
OURS = ('backbone.tower.', 'neck.prompts.')
CLIP = ('visual.', 'transformer.resblocks.', 'vision_model.', 'text_model.')


@dataclasses.dataclass(frozen=True)
class ReleasedFile:
    """A checkpoint of the authors' code.

    ``method`` is 'CLAMP' or 'DenseCLIP', ``task`` 'pose', 'segmentation' or 'detection'. ``tensors`` are named as
    released; ``set_aside`` are tensors that are no weights, with the reason; ``notes`` say what was unwrapped.
    """

    path: str
    method: str
    task: str
    tensors: dict[str, Tensor]
    set_aside: dict[str, str]
    notes: list[str]
    meta: dict[str, Any]

    def shape_of(self, prefix: str) -> TowerShape | None:
        """The architecture of the CLIP tower under ``prefix``."""
        return tower_shape({
            name[len(prefix):]: tensor for name, tensor in self.tensors.items() if name.startswith(prefix)})

    def num_names(self) -> int | None:
        """K, of keypoints or classes, by the layers that have one channel for each; None where none has."""
        tensors = self.tensors
        for name, per_name, extra in (('keypoint_head.final_layer.weight', 1, 0), ('decode_head.conv_seg.weight', 1, 0),
                                      ('roi_head.bbox_head.fc_cls.weight', 1, 1)):
            if name in tensors:
                return len(tensors[name]) // per_name - extra
        if 'bbox_head.retina_cls.weight' in tensors and 'bbox_head.retina_reg.weight' in tensors:
            anchors = len(tensors['bbox_head.retina_reg.weight']) // 4
            return len(tensors['bbox_head.retina_cls.weight']) // max(anchors, 1)
        return None

    def names(self) -> list[str] | None:
        """The names it was trained with, where its ``meta`` says them."""
        classes = self.meta.get('CLASSES')
        if isinstance(classes, (list, tuple)) and classes and all(isinstance(name, str) for name in classes):
            return list(classes)
        return _names_in_config(self.meta.get('config'))

    def __str__(self) -> str:
        count = self.num_names()
        what = {'pose': 'keypoints'}.get(self.task, 'classes')
        return (f'released {self.method} for {self.task}, {self.shape_of("backbone.")}'
                + (f', {count} {what}' if count else ''))


def read_released_file(path: str | os.PathLike) -> ReleasedFile:
    """Reads a checkpoint of MMPose 0.x, MMSegmentation 0.x or MMDetection 2.x, without running what it says.

    A bare state dict and one saved by DataParallel are read too. Raises ``CheckpointError`` for a file that is none of
    the authors' models, and says what it looks like.
    """
    path = str(path)
    try:
        content = safe_load(path, 'cpu', mmap=True)
    except FileNotFoundError:
        raise CheckpointError(f'{path} does not exist') from None
    state_dict, meta, notes = _unwrap(path, content)
    tensors, set_aside = {}, {}
    for name, tensor in state_dict.items():
        if not isinstance(tensor, Tensor):
            raise CheckpointError(f'{path} is not a checkpoint of CLAMP or DenseCLIP: {name!r} is no tensor, but '
                                  f'{type(tensor).__name__}')
        if name.startswith('ema_'):
            set_aside[name] = "MMCV's moving average keeps the other copy here; the one under the usual name is used"
        else:
            tensors[name] = tensor
    method, task = _identify(path, tensors)
    return ReleasedFile(path, method, task, tensors, set_aside, notes, meta)


def _unwrap(path: str, content: Any) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """The state dict in a checkpoint, its ``meta``, and notes on how it was wrapped."""
    notes = []
    if not isinstance(content, dict):
        raise CheckpointError(f'{path} holds no weights, but {type(content).__name__}')
    if isinstance(content.get('state_dict'), dict):
        state_dict, meta = content['state_dict'], content.get('meta')
        extra = sorted(str(key) for key in content if key not in ('state_dict', 'meta'))
        if extra:
            notes.append(f'{", ".join(extra)} of the file {"is" if len(extra) == 1 else "are"} not taken over')
    else:
        state_dict, meta = content, None
        notes.append('a bare state dict, without meta')
    if not state_dict or not all(isinstance(name, str) for name in state_dict):
        raise CheckpointError(f'{path} holds no weights')
    if all(name.startswith('module.') for name in state_dict):
        state_dict = {name[len('module.'):]: tensor for name, tensor in state_dict.items()}
        notes.append("the prefix 'module.' of DataParallel is taken off")
    return dict(state_dict), meta if isinstance(meta, dict) else {}, notes


def _identify(path: str, tensors: dict[str, Tensor]) -> tuple[str, str]:
    """Method and task. A part may be incomplete, which the conversion says; one that is not there at all is foreign."""
    heads = {_head(name) for name in tensors}
    if any(name.startswith(OURS) for name in tensors):
        raise CheckpointError(f'{path} is a checkpoint of clamp_mmpose already; use it as it is, as --checkpoint or '
                              'load_from')
    if any(name.startswith(CLIP) for name in tensors):
        raise CheckpointError(f"{path} holds CLIP's own weights, which need no conversion: give them to the backbone "
                              "and text_encoder, init_cfg=dict(type='CLIPPretrained', checkpoint=...)")
    missing = [part for part in SHARED_PARTS if part not in heads]
    if missing:
        some = ', '.join(sorted(tensors)[:3])
        raise CheckpointError(f'{path} is no checkpoint of the released CLAMP or DenseCLIP: it has no '
                              f'{", ".join(missing)} among its {len(tensors)} tensors ({some}, ...)')
    if heads & set(CLAMP_PARTS):
        return 'CLAMP', 'pose'
    if heads & set(DETECTION_PARTS):
        return 'DenseCLIP', 'detection'
    if heads & set(SEGMENTATION_PARTS):
        return 'DenseCLIP', 'segmentation'
    others = sorted(heads - set(SHARED_PARTS) - set(OPTIONAL_RELEASED_PARTS))
    raise CheckpointError(f'{path} has CLIP towers and a context decoder, but no head of CLAMP or DenseCLIP: neither '
                          f'{", ".join((*CLAMP_PARTS, *SEGMENTATION_PARTS, *DETECTION_PARTS))}'
                          + (f'; it has {", ".join(others)}' if others else ''))


def _head(name: str) -> str:
    """The first part of a name."""
    return name.split('.', 1)[0]


def _names_in_config(text: Any) -> list[str] | None:
    """The list ``class_names`` of a config's text, which is read and not run."""
    if not isinstance(text, str):
        return None
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError):
        return None
    for node in nodes:
        if isinstance(node, ast.keyword):
            pairs = [(node.arg, node.value)]
        elif isinstance(node, ast.Assign):
            pairs = [(getattr(target, 'id', None), node.value) for target in node.targets]
        elif isinstance(node, ast.Dict):
            pairs = [(getattr(key, 'value', None), value) for key, value in zip(node.keys, node.values)]
        else:
            continue
        for name, value in pairs:
            if name == 'class_names' and isinstance(value, (ast.List, ast.Tuple)) and value.elts:
                values = [getattr(element, 'value', None) for element in value.elts]
                if all(isinstance(element, str) for element in values):
                    return values
    return None
