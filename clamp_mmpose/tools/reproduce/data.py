"""Which files a config needs, which of them are there, and which command makes a split that is not."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..file_hash import hash_file

FAMILY = re.compile(r'(?P<set>.+)-train-split(?P<split>\d+)_(?P<family>[a-z]+)\.json')
UNSEEN = re.compile(r'(?P<set>.+)-(?P<images>val|all)-split(?P<split>\d+)_(?P<family>[a-z]+)\.json')
FEW_SHOT = re.compile(r'(?P<source>.+-train-split(?P<split>\d+))_(?P<shots>\d+)shot-seed(?P<seed>\d+)\.json')
FRACTION = re.compile(r'(?P<source>.+)_(?P<percent>[\d.]+)pct-seed(?P<seed>\d+)\.json')


class Split(NamedTuple):
    """An annotation file that ``make-splits`` makes from others."""

    sources: tuple[Path, ...]
    command: tuple[str, ...]


class Needs(NamedTuple):
    """What a training and its test read."""

    files: tuple[Path, ...]  # annotations, and the boxes of a detector
    folders: tuple[Path, ...]  # of images
    splits: dict[Path, Split]  # of the files, those that can be made
    weights: tuple[str, ...]  # of the towers, as the config names them
    archives: tuple[Path, ...]  # of the weights, those that are files

    def missing(self) -> list[Path]:
        """What is not there and cannot be made from what is there."""
        missing = {}
        for path in (*self.files, *self.folders, *self.archives):
            if not path.exists():
                split = self.splits.get(path)
                missing.update(dict.fromkeys([source for source in split.sources if not source.exists()]
                                             if split else [path]))
        return list(missing)


def needs_of(cfg: dict) -> Needs:
    """What a config reads from where it looks for its data."""
    files, folders = {}, {}
    for stage in ('train', 'val', 'test'):
        dataset = cfg[f'{stage}_dataloader']['dataset']
        root = Path(dataset['data_root'])
        files[root / dataset['ann_file']] = None
        if dataset.get('bbox_file'):
            files[Path(dataset['bbox_file'])] = None
        folders[root / dataset['data_prefix']['img']] = None
    train, unseen = (Path(cfg[f'{stage}_dataloader']['dataset']['ann_file']) for stage in ('train', 'test'))
    splits = _splits(Path(cfg['data_root']), train, unseen)
    archives = [Path(part['init_cfg']['checkpoint']) for _, part in _initialised(cfg['model'])]
    return Needs(tuple(files), tuple(folders), splits, _weights(cfg['model']),
                 tuple(dict.fromkeys(path for path in archives if path.is_absolute())))


def _splits(data_root: Path, train: Path, unseen: Path) -> dict[Path, Split]:
    """How the files of a protocol are made, by their names, which make-splits gives them."""
    annotations, make = (data_root / train).parent, ('clamp-mmpose', 'make-splits')
    found = FEW_SHOT.fullmatch(train.name)
    if found:
        return {data_root / train: Split((annotations / f'{found["source"]}.json', ), (
            *make, 'few-shot', '--data-root', str(data_root), '--split', found['split'], '--shots', found['shots'],
            '--seed', found['seed']))}
    found = FRACTION.fullmatch(train.name)
    if found:
        source = annotations / f'{found["source"]}.json'
        return {data_root / train: Split((source, ), (
            *make, 'fraction', '--ann', str(source), '--percent', found['percent'], '--seeds', found['seed']))}
    found, other = FAMILY.fullmatch(train.name), UNSEEN.fullmatch(unseen.name)
    if not found or not other:
        return {}
    sources = [annotations / f'{found["set"]}-{part}-split{found["split"]}.json' for part in ('train', 'val')]
    split = Split(tuple(sources), (
        *make, 'family', '--data-root', str(data_root), '--split', found['split'], '--train',
        found['family'].capitalize(), '--test', other['family'].capitalize(), '--test-images', other['images']))
    return {data_root / train: split, data_root / unseen: split}


def local_weights(model: dict, folder: Path) -> dict:
    """Changes a config's CLIP weights from a tag of open_clip to OpenAI's archive of that model in a folder."""
    archive = '{}.pt'.format
    return {f'model.{key}.init_cfg.checkpoint': str(folder / archive(part['arch'].removesuffix('-quickgelu')))
            for key, part in _initialised(model) if part['init_cfg']['type'] == 'CLIPPretrained'}


def _weights(model: dict) -> tuple[str, ...]:
    """Weights that the parts of a model start from: 'openai for RN50-quickgelu', an address or a file."""
    return tuple(dict.fromkeys(
        f'{part["init_cfg"]["checkpoint"]}{" for " + part["arch"] if isinstance(part.get("arch"), str) else ""}'
        for _, part in _initialised(model)))


def _initialised(part: dict, key: str = '') -> Iterator[tuple[str, dict]]:
    """(dotted key, config) of the parts that start from a checkpoint."""
    if (part.get('init_cfg') or {}).get('checkpoint'):
        yield key, part
    for name, value in part.items():
        if isinstance(value, dict) and name != 'init_cfg':
            yield from _initialised(value, f'{key}.{name}' if key else name)


def digests(files: tuple[Path, ...]) -> dict[str, str]:
    """File name -> sha256 of the annotations that are there. Images are not read."""
    return {path.name: _digest(path, path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.exists()}


@functools.cache
def _digest(path: Path, size: int, changed: int) -> str:
    return hash_file(path)
