"""Which files are meant by the paths a user gives."""
from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence

IMAGE_SUFFIXES = {
    '.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.dib', '.webp', '.tif', '.tiff', '.gif', '.jp2', '.ppm', '.pgm',
    '.pbm', '.pnm', '.heic', '.heif', '.avif'
}
VIDEO_SUFFIXES = {
    '.mp4', '.m4v', '.avi', '.mov', '.mkv', '.webm', '.mpg', '.mpeg', '.wmv', '.flv', '.mts', '.m2ts', '.ts', '.3gp',
    '.ogv', '.asf'
}


@dataclasses.dataclass(frozen=True)
class Input:
    """A file to read: its ``path`` as the user would type it, and its ``name`` below the folder that all share.

    No two inputs have the same name, so a tree of outputs that follows the names keeps them apart.
    """

    path: str
    name: str


def find_inputs(paths: Sequence[str], *, recursive: bool = False, exclude: str | None = None) -> list[Input]:
    """The files that ``paths`` mean, each once, in order.

    A file is taken whatever its suffix; a folder stands for its images and videos, sorted, and with ``recursive`` for
    those of its folders; a file ending in .txt lists paths, one per line. Hidden files, and what lies under the folder
    ``exclude``, are left out. Raises ValueError for a path that is not there, and if nothing is left.
    """
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        raise ValueError(f'there is no file or folder {", ".join(missing)}')
    found: dict[str, str] = {}
    for path in paths:
        for file in _expand(path, recursive):
            found.setdefault(os.path.abspath(file), file)
    if exclude is not None:
        outputs = os.path.join(os.path.abspath(exclude), '')
        found = {full: path for full, path in found.items() if path in paths or not full.startswith(outputs)}
    if not found:
        hint = '' if recursive else '; --recursive also looks into the folders inside'
        raise ValueError(f'{", ".join(paths)}: no image or video there{hint}')
    shared = _shared_folder([*found])
    return [Input(path, _below(full, shared)) for full, path in found.items()]


def _expand(path: str, recursive: bool) -> Iterator[str]:
    if os.path.isdir(path):
        yield from _files_of(path, recursive, set())
    elif path.lower().endswith('.txt'):
        with open(path, encoding='utf-8') as lines:
            yield from filter(None, (line.strip() for line in lines))
    else:
        yield path


def _files_of(folder: str, recursive: bool, seen: set[str]) -> Iterator[str]:
    """Links to folders are followed, but no folder is entered twice."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    folders = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.startswith('.'):
            continue
        if os.path.isdir(path):
            folders.append(path)
        elif os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
            yield path
    if recursive:
        for path in folders:
            yield from _files_of(path, recursive, seen)


def _shared_folder(files: list[str]) -> str | None:
    try:
        return os.path.commonpath([os.path.dirname(file) for file in files])
    except ValueError:  # on several drives of Windows
        return None


def _below(file: str, folder: str | None) -> str:
    name = os.path.relpath(file, folder) if folder else file.replace(':', '')
    return name.replace(os.sep, '/').lstrip('/')
