"""Loading checkpoints through MMEngine without running what the file says.

MMEngine 0.10 leaves ``weights_only`` to torch. From 2.6 on that refuses MMEngine's own checkpoints; before,
and for every address on the web, it runs whatever code a file contains. ``register_safe_loading`` mends both:
every loader of MMEngine's ``CheckpointLoader`` reads with ``weights_only=True``, and torch is told the parts of a
training state.
"""
from __future__ import annotations

import io
import os
import pickle
import re
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Callable, Union
from urllib.parse import urlparse

import torch
from mmengine import dist
from mmengine.fileio import get_file_backend
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from .safe_globals import RefusedGlobal, allow_training_state
from .torchscript_archive import is_torchscript

Source = Union[str, os.PathLike, BinaryIO]
MapLocation = Union[str, torch.device, Callable, dict, None]


class CheckpointError(RuntimeError):
    """A file that cannot be loaded as a checkpoint; the message names it and says why."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint that asks for more than training state needs. Nothing of it was run."""


def safe_load(source: Source, map_location: MapLocation = None, *, name: str = '', mmap: bool = False) -> Any:
    """Reads a checkpoint written by ``torch.save``, in torch's zip format or the one before it.

    ``name`` is what errors call a ``source`` that is not a path; ``mmap`` maps a file of the zip format, so that only
    what is used is read. Raises ``UnsafeCheckpointError`` for a file that asks for any callable beyond training state,
    ``CheckpointError`` for one that is no checkpoint or truncated.
    """
    name = name or str(source)
    mmap = mmap and zipfile.is_zipfile(source)
    refuse_foreign_archive(source, name)
    try:
        return torch.load(source, map_location=map_location, weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        # torch wraps advice around the message of its unpickler.
        reason = error.__context__ or error
        refused = str(reason) if isinstance(reason, RefusedGlobal) else named_global(str(reason))
        if not refused:
            raise CheckpointError(f'{name} is not a checkpoint, or is damaged: {first_line(reason)}') from error
        raise UnsafeCheckpointError(
            f'{name} is refused: it asks for `{refused}`, which no training state needs. A checkpoint can name any '
            'program to run when it is read; nothing of this one was run. If you made the file yourself and need '
            'that class, call torch.serialization.add_safe_globals before loading.') from None
    except (EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f'{name} cannot be loaded (truncated, or no checkpoint): {_reason(error)}') from error


def named_global(message: str) -> str:
    """What torch's unpickler says it refused; empty when the file is not readable as a pickle at all."""
    named = re.search(r'GLOBAL (\S+)|(?:unrecognized function|unsupported class|but got) (.+)', message)
    return (named[1] or named[2]) if named else ''


def refuse_foreign_archive(source: Source, name: str) -> None:
    """Raises ``CheckpointError`` for TorchScript and tar archives, which torch before 2.6 reads unsafely."""
    if is_torchscript(source):
        raise CheckpointError(
            f'{name} is a TorchScript archive, not a checkpoint. CLIP weights in this format go into '
            "init_cfg=dict(type='CLIPPretrained', checkpoint=...) of a backbone or text encoder.")
    rewind(source)
    if tarfile.is_tarfile(source):
        raise CheckpointError(
            f'{name} is a tar archive (PyTorch 0.1, or not a checkpoint) and cannot be read safely. '
            'Unpack it, or save it again with a newer PyTorch.')
    rewind(source)


def _reason(error: Exception) -> str:
    # Of a LookupError the message is the key alone.
    return f'{type(error).__name__} {first_line(error)}' if isinstance(error, LookupError) else first_line(error)


def rewind(source: Source) -> None:
    if not isinstance(source, (str, os.PathLike)):
        source.seek(0)


def first_line(message: Any) -> str:
    return (str(message).strip() or type(message).__name__).splitlines()[0]


# MMEngine logs the part of each name after `load_from_`.


def load_from_local(filename: str, map_location: MapLocation = None) -> Any:
    path = Path(filename).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'Checkpoint {filename} does not exist or is not a file.')
    return safe_load(path, map_location)


def download(address: str) -> Path:
    """Downloads into torch's own cache folder, on one process per machine. A file that is there already is kept."""
    folder = Path(torch.hub.get_dir(), 'checkpoints')
    path = folder / Path(urlparse(address).path).name
    try:
        if dist.get_local_rank() == 0 and not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(address, str(path), progress=os.isatty(0))
    finally:
        dist.barrier()
    return path


def load_from_http(filename: str, map_location: MapLocation = None) -> Any:
    return safe_load(download(filename), map_location)


def load_from_torchvision(filename: str, map_location: MapLocation = None) -> Any:
    model = filename.split('://', 1)[1]
    return load_from_http(mmengine_checkpoint.get_torchvision_models()[model], map_location)


def load_from_openmmlab(filename: str, map_location: MapLocation = None) -> Any:
    model = filename.split('://', 1)[1]
    model = mmengine_checkpoint.get_deprecated_model_names().get(model, model)
    address = mmengine_checkpoint.get_external_models()[model]
    if address.startswith(('http://', 'https://')):
        return load_from_http(address, map_location)
    return load_from_local(str(Path(mmengine_checkpoint._get_mmengine_home(), address)), map_location)


def load_from_mmcls(filename: str, map_location: MapLocation = None) -> Any:
    model = filename.split('://', 1)[1]
    checkpoint = load_from_http(mmengine_checkpoint.get_mmcls_models()[model], map_location)
    return mmengine_checkpoint._process_mmcls_checkpoint(checkpoint)


def load_from_ceph(filename: str, map_location: MapLocation = None) -> Any:
    backend = get_file_backend(filename, backend_args={'backend': 'petrel'})
    return safe_load(io.BytesIO(backend.get(filename)), map_location, name=filename)


def load_from_pavi(filename: str, map_location: MapLocation = None) -> Any:
    from pavi import modelcloud
    model = modelcloud.get(filename.split('://', 1)[1])
    with TemporaryDirectory() as folder:
        path = Path(folder, model.name)
        model.download(str(path))
        return safe_load(path, map_location, name=filename)


LOADERS: dict[tuple[str, ...], Callable] = {
    ('',): load_from_local,
    ('http://', 'https://'): load_from_http,
    ('modelzoo://', 'torchvision://'): load_from_torchvision,
    ('open-mmlab://', 'openmmlab://'): load_from_openmmlab,
    ('mmcls://',): load_from_mmcls,
    (r'(\S+\:)?s3://', r'(\S+\:)?petrel://'): load_from_ceph,
    ('pavi://',): load_from_pavi,
}


def register_safe_loading() -> None:
    """Makes train, test, resume and pretrained weights load safely on torch >= 2.4, with nothing to set.

    Replaces MMEngine's own loaders, for every scheme that MMEngine knows. Files are read with an explicit
    ``weights_only=True``, which TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD does not override. A plain ``torch.load(path)``
    reads MMEngine's checkpoints too, where ``weights_only`` is the default (torch >= 2.6).
    """
    allow_training_state()
    for prefixes, loader in LOADERS.items():
        CheckpointLoader.register_scheme(prefixes=prefixes, loader=loader, force=True)
