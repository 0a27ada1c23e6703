"""Families and species by name, as the categories of annotation files know them."""
from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter
from dataclasses import dataclass

_LONGEST_SUFFIX = 120  # bytes; file systems allow 255 for the whole name


@dataclass(frozen=True)
class Group:
    """Animals that are trained on, or tested on: the asked names in the file's spelling, and their categories."""
    names: tuple
    category_ids: frozenset

    @property
    def suffix(self) -> str:
        """For file names: 'bovidae', 'king-cheetah+dog'; a long list is shortened, but stays one of its kind."""
        parts = [re.sub(r'[^\w.]+', '-', name.lower()).strip('-') for name in self.names]
        whole = '+'.join(parts)
        if len(whole.encode()) <= _LONGEST_SUFFIX:
            return whole
        digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
        return f'{parts[0].encode()[:60].decode(errors="ignore")}+{len(parts) - 1}-more-{digest}'


class Taxonomy:
    """The families (``supercategory``) and species of COCO categories, merged over several files.

    Raises ValueError when the files give one id two names.
    """

    def __init__(self, files: list) -> None:
        self.source = ' and '.join(dict.fromkeys(file.name for file in files))
        self.species_of, self.family_of = {}, {}  # category id -> name
        for file in files:
            for key, category in file.categories.items():
                name, family = str(category['name']), category.get('supercategory')
                if self.species_of.setdefault(key, name) != name:
                    raise ValueError(f'category {key} is {self.species_of[key]!r} and {name!r} in {self.source}')
                if family:
                    self.family_of.setdefault(key, str(family))
        self.usable = Counter()  # category id -> instances, in all files
        for file in {file.sha256: file for file in files}.values():
            self.usable.update(annotation['category_id'] for annotation in file.usable())

    def find(self, argument: str, names: list, by: str | None = None) -> Group:
        """The group of the asked names. ``by``: 'family' or 'species' reads them all as such.

        Raises ValueError when a name is unknown, or both a family and one of several species.
        """
        kinds = {'family': self.family_of, 'species': self.species_of}
        if by is not None:
            kinds = {by: kinds[by]}
        found, members = {}, set()
        for name in names:
            hits = {}
            for kind, table in kinds.items():
                ids = frozenset(key for key, other in table.items() if _plain(other) == _plain(name))
                if ids:
                    hits[kind] = ids
            if not hits:
                raise ValueError(self._unknown(argument, name, list(kinds)))
            if len(set(hits.values())) > 1:
                raise ValueError(f'{argument}={name!r} is both a family and a species of {self.source}: say which by '
                                 '--by family or --by species')
            (kind, ids), *_ = hits.items()
            found.setdefault(_plain(name), kinds[kind][min(ids, key=str)])
            members |= ids
        return Group(tuple(found.values()), frozenset(members))

    def families(self, category_ids) -> set:
        return {self.family_of[key] for key in category_ids if key in self.family_of}

    def _unknown(self, argument: str, name: str, kinds: list) -> str:
        counts = {}
        for kind in kinds:
            counts[kind] = Counter()
            for key, known in (self.family_of if kind == 'family' else self.species_of).items():
                counts[kind][known] += self.usable[key]
        known = {_plain(other): other for kind in kinds for other in counts[kind]}
        close = difflib.get_close_matches(_plain(name), known, n=1)
        hint = f' Did you mean {known[close[0]]!r}?' if close else ''
        plural = {'family': 'families', 'species': 'species'}
        lists = ' '.join(
            f'Its {plural[kind]}, with their usable instances: '
            + (', '.join(f'{other} {count}' for other, count in sorted(counts[kind].items())) or 'none') + '.'
            for kind in kinds)
        return f'{argument}={name!r} is no {" or ".join(kinds)} of {self.source}.{hint} {lists}'


def _plain(name: str) -> str:
    """'King_Cheetah' and 'king-cheetah' are 'king cheetah'."""
    return re.sub(r'[\s_-]+', ' ', str(name)).strip().casefold()
