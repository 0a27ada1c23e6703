"""Reads a CLIP model from any of the formats it is published in, into tensors under OpenAI's names."""
from __future__ import annotations

import dataclasses
import pickle
import re
from pathlib import Path

from torch import Tensor

from . import hugging_face_clip as hugging_face
from .safe_loading import CheckpointError, first_line, safe_load
from .torchscript_archive import is_torchscript, read_torchscript

# Not weights of either tower: the temperature, masks, and the sizes that OpenAI's archives carry as numbers.
OPENAI_SIZES = ('input_resolution', 'context_length', 'vocab_size')
NOT_OF_A_TOWER = re.compile(r'(logit_scale|logit_bias|(.+\.)?attn_mask|' + '|'.join(OPENAI_SIZES) + ')')


@dataclasses.dataclass(frozen=True)
class CLIPFile:
    """A CLIP model on disk. Tensors are mapped where the format allows, so that only the tower in use is read.

    ``tensors``: names as OpenAI's, ``visual.*`` for the image tower and no prefix for the text tower. ``quick_gelu``:
    for 'visual' and 'text', whether the model was trained with QuickGELU, None where the file does not tell.
    """

    path: Path
    format: str
    tensors: dict[str, Tensor]
    quick_gelu: dict[str, bool | None]

    def tower(self, part: str) -> dict[str, Tensor]:
        """The tensors of the image tower ('visual') or the text tower ('text'), without prefix."""
        prefix = 'visual.'
        if part == 'visual':
            return {name[len(prefix):]: tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}
        return {name: tensor for name, tensor in self.tensors.items() if not name.startswith(prefix)}


def read_clip_file(path: Path) -> CLIPFile:
    """Reads OpenAI's TorchScript archives, open_clip's and Hugging Face's ``.pt``, ``.bin``, ``.safetensors``, and
    folders.

    No code of a file is run. Raises ``CheckpointError``, naming the file, when it cannot be read.
    """
    try:
        if path.is_dir():
            return _read_folder(path)
        if is_torchscript(path):
            kind, tensors = 'TorchScript archive', read_torchscript(path)
        else:
            kind, tensors = _read_state_dict(path)
        return _normalise(path, kind, tensors)
    except CheckpointError:
        raise
    except (pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError,
            StopIteration, TypeError, ValueError) as error:
        raise CheckpointError(f'{path} cannot be read as CLIP weights (damaged?): {first_line(error)}') from error


def _read_folder(folder: Path) -> CLIPFile:
    files = hugging_face.find_weight_files(folder)
    if not files:
        raise CheckpointError(f'{folder} holds no CLIP weights; a Hugging Face folder has config.json and one of '
                              f'{", ".join(hugging_face.WEIGHT_FILES)}')
    hugging_face.read_config(folder)
    tensors = {}
    for file in files:
        if not file.is_file():
            raise CheckpointError(f'{folder} is incomplete: its index lists {file.name}, which is not there')
        tensors.update(_read_state_dict(file)[1])
    return _normalise(folder, 'folder of weights', tensors)


def _read_state_dict(path: Path) -> tuple[str, dict[str, Tensor]]:
    if path.suffix == '.safetensors':
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        try:
            return 'safetensors', load_file(path)
        except SafetensorError as error:
            raise CheckpointError(f'{path} cannot be read as safetensors (truncated?): {first_line(error)}') from error
    content = safe_load(path, 'cpu', mmap=True)
    state_dict = content.get('state_dict', content) if isinstance(content, dict) else None
    if not isinstance(state_dict, dict):
        raise CheckpointError(f'{path} holds no state dict, but {type(content).__name__}')
    tensors = {name: value for name, value in state_dict.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f'{path} holds no state dict: there is no tensor in it')
    return 'state dict', tensors


def _normalise(path: Path, kind: str, tensors: dict[str, Tensor]) -> CLIPFile:
    # open_clip's training saves the model inside DistributedDataParallel, and perhaps compiled.
    tensors = {re.sub(r'^((module|_orig_mod)\.)+', '', name): tensor for name, tensor in tensors.items()}
    from_openai = all(name in tensors for name in OPENAI_SIZES)
    quick_gelu = dict.fromkeys(('visual', 'text'), True if from_openai else None)
    if hugging_face.is_hugging_face(tensors):
        kind = f'Hugging Face, {kind}'
        tensors = hugging_face.to_openai_names(tensors)
        config = hugging_face.read_config(path if path.is_dir() else path.parent)
        quick_gelu = {part: hugging_face.uses_quick_gelu(config, part) for part in quick_gelu}
    if 'text.token_embedding.weight' in tensors:
        # open_clip's CustomTextCLIP keeps the text tower apart.
        tensors = {re.sub(r'^text\.', '', name): tensor for name, tensor in tensors.items()}
    tensors = {name: tensor for name, tensor in tensors.items() if not NOT_OF_A_TOWER.fullmatch(name)}
    return CLIPFile(path, kind, tensors, quick_gelu)
