"""The tensors of a TorchScript archive, without its program.

OpenAI publishes CLIP as TorchScript. ``torch.jit.load`` would compile the program in the file and run the parts of it
that restore modules; the weights need none of that. They lie uncompressed in a zip file, next to a pickle that names
them.
"""
from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

# Storage classes by their name in the pickle.
DTYPES = {
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'FloatStorage': torch.float32,
    'DoubleStorage': torch.float64,
    'CharStorage': torch.int8,
    'ByteStorage': torch.uint8,
    'ShortStorage': torch.int16,
    'IntStorage': torch.int32,
    'LongStorage': torch.int64,
    'BoolStorage': torch.bool,
}


class ScriptedModule:
    """A module of the archive: what it holds, and nothing that it does."""

    state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def tensors(self, prefix: str = '') -> dict[str, Tensor]:
        found = {}
        for name, value in self.state.items():
            if isinstance(value, Tensor):
                found[prefix + name] = value
            elif isinstance(value, ScriptedModule):
                found.update(value.tensors(f'{prefix}{name}.'))
        return found


class ArchiveUnpickler(pickle.Unpickler):
    """Reads the module tree of an archive. Every class is a ``ScriptedModule``; nothing else can be named."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        record = next(name for name in archive.namelist() if name.count('/') == 1 and name.endswith('/data.pkl'))
        super().__init__(archive.open(record))
        self.archive = archive
        self.folder = record[:-len('.pkl')]
        # Mapped rather than read: the two towers are taken one after the other, each a part of the file.
        self.content = np.memmap(path, np.uint8, 'c')

    def find_class(self, module: str, name: str) -> Any:
        if module == '__torch__' or module.startswith('__torch__.'):
            return ScriptedModule
        if module == 'torch.jit._pickle':
            return lambda value, *_: value
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return lambda storage, offset, size, stride, *_: storage.as_strided(size, stride, offset)
        if (module, name) == ('collections', 'OrderedDict'):
            return OrderedDict
        if module == 'torch' and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f'{module}.{name} is not part of a TorchScript module of weights')

    def persistent_load(self, pid: tuple) -> Tensor:
        _, dtype, key, _, numel = pid
        size = numel * torch.empty(0, dtype=dtype).element_size()
        start = self._start(self.archive.getinfo(f'{self.folder}/{key}'))
        return torch.from_numpy(self.content[start:start + size]).view(dtype)

    def _start(self, record: zipfile.ZipInfo) -> int:
        if record.compress_type != zipfile.ZIP_STORED:
            raise pickle.UnpicklingError(f'{record.filename} is compressed')
        # The lengths of the name and of the padding, in the header that precedes the record.
        name, extra = struct.unpack('<HH', self.content[record.header_offset + 26:record.header_offset + 30].tobytes())
        return record.header_offset + 30 + name + extra


def is_torchscript(source: str | os.PathLike | BinaryIO) -> bool:
    if not zipfile.is_zipfile(source):
        return False
    with zipfile.ZipFile(source) as archive:
        return any(Path(name).name == 'constants.pkl' for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """The tensors of the archive's module by name, mapped from the file. No code of the archive is run.

    Raises ``pickle.UnpicklingError`` for an archive that holds more than modules and tensors, and what ``zipfile``,
    ``numpy`` and ``torch`` raise for one that is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        return ArchiveUnpickler(path, archive).load().tensors()
