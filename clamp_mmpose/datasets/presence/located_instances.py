from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Hashable
from pathlib import Path

from ..splits.draw import place_of


class LocatedInstances:
    """Which instances keep their locations: ``key in LocatedInstances(...)``, by the ``id`` that the dataset gives.

    located: a share, 0 for none and 1 for all of them, or a file of `clamp-mmpose make-splits locations`, whose number
    is exact. A share is drawn by the hash of (seed, id): the same on every machine, and with one seed a larger share
    contains a smaller one.
    """

    def __init__(self, located: float | str | os.PathLike = 0, seed: int = 0) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ValueError(f'seed={seed!r} must be a whole number')
        self.seed = seed
        self.file, self.share, self.ids, self.about = None, None, frozenset(), {}
        if isinstance(located, (str, os.PathLike)):
            self.file = str(located)
            self.ids, self.about = _read(Path(located))
        elif isinstance(located, bool) or not isinstance(located, (int, float)) or not 0 <= located <= 1:
            raise ValueError(f'located={located!r} must be the share of instances that keep their locations, 0 to 1, '
                             'or a file that `clamp-mmpose make-splits locations` has written')
        else:
            self.share = located

    @property
    def has_none(self) -> bool:
        return not self.ids and not self.share

    @property
    def has_all(self) -> bool:
        return self.share == 1

    def __contains__(self, key: Hashable) -> bool:
        if self.file is not None:
            return key in self.ids
        if self.share in (0, 1):
            return bool(self.share)
        return int.from_bytes(place_of(key, seed=self.seed, protocol='locations')[:8], 'big') < self.share * 2**64

    def compare_with(self, ann_file: str) -> str:
        """What is to be said of a list that was drawn from another file than the dataset reads; '' if nothing is.

        Raises ValueError when the list has numbers of records, which mean something else in another file.
        """
        sources = self.about.get('sources') or [{}]
        if self.file is None or not os.path.isfile(ann_file) or not sources[0].get('sha256'):
            return ''
        if hashlib.sha256(Path(ann_file).read_bytes()).hexdigest() == sources[0]['sha256']:
            return ''
        problem = (f'located={self.file!r} was drawn from another file, {sources[0].get("file")}, than '
                   f'ann_file={ann_file!r}')
        if self.about.get('ids') == 'numbers of records':
            raise ValueError(f'{problem}; its numbers of records stand for other people there. Draw it again: '
                             f'clamp-mmpose make-splits locations --ann {ann_file}')
        return f'{problem}; its ids are looked up there all the same'

    def __repr__(self) -> str:
        return f'located={self.file!r}' if self.file else f'located={self.share:g}, seed={self.seed}'


def _read(path: Path) -> tuple[frozenset, dict]:
    if not path.is_file():
        raise FileNotFoundError(f'located={str(path)!r} is not there. `clamp-mmpose make-splits locations` writes such '
                                'files')
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f'located={str(path)!r} is not a complete JSON file: {error}') from error
    ids = content.get('located') if isinstance(content, dict) else None
    if not isinstance(ids, list) or not all(isinstance(key, (int, str)) for key in ids):
        raise ValueError(f'located={str(path)!r} must be a dict with a list of ids, `located`, as '
                         '`clamp-mmpose make-splits locations` writes it')
    about = content.get('provenance')
    return frozenset(ids), about if isinstance(about, dict) else {}
