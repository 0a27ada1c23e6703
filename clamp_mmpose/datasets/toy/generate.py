"""Writes a toy dataset to a folder, once, and the same bytes each time."""
from __future__ import annotations

import json
import operator
from pathlib import Path

import cv2
import numpy as np

from .annotations import write_json
from .domains import DOMAINS, apply_domain
from .kinds import KINDS, SPLITS

VERSION = 1  # of the drawings: raise it when the same arguments give other pictures
GENERATOR = 'clamp_mmpose toy data'

_MAX_IMAGES = 500_000
_FIRST_IMAGE_ID = dict(train=1, val=1 + _MAX_IMAGES)  # so that the number of training pictures does not move the others
_LAYOUT, _PAINT, _DOMAIN = range(3)  # independent random streams of one picture


def make_toy_dataset(out, *, kind: str = 'animals', train: int = 300, val: int = 100, seed: int = 0,
                     domain: str = 'default', progress=None) -> dict:
    """Draws ``train`` + ``val`` annotated pictures into the folder ``out`` and returns its manifest.

    The same arguments give the same bytes. A picture depends on (seed, split, its number) alone: it stays the same when
    more are drawn, train and val share none, and another domain changes its look but no annotation. A folder that
    already holds what the arguments ask for is left as it is; one that holds other toy data is drawn anew, and only
    files that its manifest lists are replaced or removed.

    kind: 'animals' (AP-10K annotations) or 'people' (COCO and MPII annotations). progress: wraps the iteration over the
    pictures of a split, called like ``tqdm(iterable, desc=...)``.

    Raises ValueError for a bad argument, FileExistsError when ``out`` holds files that are not toy data, OSError when
    it cannot be written.
    """
    arguments = dict(kind=_known('kind', kind, KINDS), train=_count('train', train, 1), val=_count('val', val, 1),
                     seed=_count('seed', seed, 0, None), domain=_known('domain', domain, DOMAINS))
    out = Path(out)
    files = _image_files(arguments) + [f'annotations/{name}' for name in KINDS[kind].annotation_files]
    manifest = _read_manifest(out)
    if manifest is not None and _is_finished(out, manifest, arguments, files):
        return manifest
    manifest = dict(generator=GENERATOR, version=VERSION, arguments=arguments, complete=False,
                    annotation_files=list(KINDS[kind].annotation_files))
    try:
        _prepare_folder(out, manifest, files)
        manifest['instances'] = {
            split: _write_split(out, split, arguments, progress or _no_progress)
            for split in SPLITS
        }
        write_json(out / 'manifest.json', dict(manifest, complete=True), indent=1)
    except OSError as error:
        raise OSError(f'out={str(out)!r} cannot be written ({error.strerror or error}): '
                      'give a folder that you may write to, on a disk with room') from error
    return dict(manifest, complete=True)


def read_arguments(out) -> dict:
    """What the toy data in the folder ``out`` were made with; empty where there are none."""
    try:
        manifest = _read_manifest(Path(out))
    except FileExistsError:
        return {}
    return dict(manifest['arguments']) if manifest else {}


def _write_split(out: Path, split: str, arguments: dict, progress) -> dict:
    """Draws one split. Returns the number of annotated bodies by name."""
    kind = KINDS[arguments['kind']]
    images, scenes = [], []
    for index in progress(range(arguments[split]), desc=f'{split} {arguments["kind"]}'):
        layout, paint, look = (_rng(arguments['seed'], split, index, stream) for stream in (_LAYOUT, _PAINT, _DOMAIN))
        scene = kind.draw(layout, paint, subject=_subject(arguments['seed'], split, index, kind.num_subjects))
        image = apply_domain(arguments['domain'], scene.image, scene.background, look)
        name = _image_name(split, index)
        encoded = cv2.imencode('.jpg', np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        (out / 'data' / name).write_bytes(encoded.tobytes())
        height, width = image.shape[:2]
        images.append(dict(id=_FIRST_IMAGE_ID[split] + index, file_name=name, width=width, height=height))
        scenes.append(scene.without_pixels())
    return kind.write(out / 'annotations', split, images, scenes)


def _rng(seed: int, split: str, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), *key)))


def _subject(seed: int, split: str, index: int, num_subjects: int) -> int:
    """Each subject leads equally often: every block of pictures is one shuffled round through all of them."""
    block, place = divmod(index, num_subjects)
    # A key of another length than those of the pictures.
    return int(_rng(seed, split, block).permutation(num_subjects)[place])


def _image_name(split: str, index: int) -> str:
    return f'{_FIRST_IMAGE_ID[split] + index:012d}.jpg'


def _image_files(arguments: dict) -> list:
    return [f'data/{_image_name(split, index)}' for split in SPLITS for index in range(arguments[split])]


def _read_manifest(out: Path) -> dict | None:
    """The manifest of earlier toy data in the folder; None for a new or empty folder."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f'out={str(out)!r} is a file: give a new or empty folder')
    if not out.exists() or not any(out.iterdir()):
        return None
    try:
        manifest = json.loads((out / 'manifest.json').read_text())
        if manifest['generator'] == GENERATOR:
            _image_files(manifest['arguments'])
            return manifest
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise FileExistsError(f'out={str(out)!r} holds files, but not toy data made by this command: give a new or empty '
                          'folder, or move them away')


def _is_finished(out: Path, manifest: dict, arguments: dict, files: list) -> bool:
    same = manifest['arguments'] == arguments and manifest['version'] == VERSION and manifest['complete']
    return same and all((out / file).is_file() for file in files)


def _prepare_folder(out: Path, manifest: dict, files: list) -> None:
    """Removes what earlier toy data leave over, and notes what is about to be written."""
    earlier = _read_manifest(out) if out.exists() else None
    if earlier is not None:
        listed = _image_files(earlier['arguments']) + [f'annotations/{name}' for name in earlier['annotation_files']]
        for file in set(listed) - set(files):
            (out / file).unlink(missing_ok=True)
    for folder in ('data', 'annotations'):
        (out / folder).mkdir(parents=True, exist_ok=True)
    write_json(out / 'manifest.json', manifest, indent=1)


def _no_progress(iterable, desc: str):
    return iterable


def _known(name: str, value: str, allowed) -> str:
    if value not in allowed:
        raise ValueError(f'{name}={value!r} is not known: choose one of {", ".join(allowed)}')
    return value


def _count(name: str, value: int, low: int, high: int | None = _MAX_IMAGES) -> int:
    limits = f'at least {low}' if high is None else f'between {low} and {high}'
    try:
        value = operator.index(value)
    except TypeError:
        raise ValueError(f'{name}={value!r} must be a whole number, {limits}') from None
    if value < low or (high is not None and value > high):
        raise ValueError(f'{name}={value} must be {limits}')
    return value
