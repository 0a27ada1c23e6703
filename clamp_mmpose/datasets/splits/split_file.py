"""Annotation files that come out of a protocol: what they hold, where it is from, and how they are written."""
from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ...version import __version__
from .coco_file import CocoFile, is_usable

WRITTEN_BY = f'clamp-mmpose {__version__}'
# Another version of the package is no other content.
_VERSION = re.compile(rb'clamp-mmpose \d[^"\'\s]*')


@dataclass
class SplitFile:
    """One annotation file to write. ``images`` and ``annotations`` are lists, ``provenance`` a dict."""
    name: str
    like: CocoFile  # gives info, licenses and categories, which are kept whole
    images: list
    annotations: list
    provenance: dict

    def encode(self) -> bytes:
        """The same content gives the same bytes; the categories come last, where they are quick to find."""
        rest = dict(self.like.rest)
        images, annotations, categories = (_numbers(records) for records in self._records())
        content = dict(
            info=rest.pop('info', {}), provenance=self.provenance, **rest,
            images=[dict(image, id=images[image['id']]) for image in self.images],
            annotations=[dict(one, id=annotations[one['id']], image_id=images[one['image_id']],
                              category_id=categories.get(one['category_id'], one['category_id']))
                         for one in self.annotations],
            categories=[dict(category, id=categories[key]) for key, category in self.like.categories.items()])
        return json.dumps(content).encode()

    @property
    def is_numbered_anew(self) -> bool:
        """Whether ids of the source are texts, which MMPose does not read: the file has numbers for them."""
        return any(map(_has_texts, self._records()))

    def _records(self) -> tuple[list, list, list]:
        return self.images, self.annotations, list(self.like.categories.values())


def _numbers(records: list) -> dict:
    """id -> id as it is written: where some are texts, all of them are numbered from 1 in their order."""
    texts = _has_texts(records)
    return {record['id']: number if texts else record['id'] for number, record in enumerate(records, 1)}


def _has_texts(records: list) -> bool:
    return any(isinstance(record['id'], str) for record in records)


def provenance(protocol: str, sources: list, arguments: dict, **more) -> dict:
    """Where a file is from: no paths and no dates, so that identical input gives an identical file."""
    return dict(written_by=WRITTEN_BY, protocol=protocol, sources=sources, arguments=arguments, **more)


def count(file: CocoFile, images: list, annotations: list) -> dict:
    """How many pictures, instances and usable instances, by family and species; the latter count usable ones."""
    usable = [a for a in annotations if is_usable(a, file.images[a['image_id']], file.name)]
    numbers = Counter(annotation['category_id'] for annotation in usable)
    families, species = Counter(), Counter()
    for key, category in file.categories.items():
        if numbers[key]:
            species[str(category['name'])] += numbers[key]
            families[str(category.get('supercategory') or 'no family')] += numbers[key]
    return dict(images=len(images), instances=len(annotations), usable_instances=len(usable), families=dict(families),
                species=dict(species))


def write_files(contents: dict, *, force: bool = False) -> dict:
    """Writes path -> bytes, all or none. Returns path -> 'written', 'replaced' or 'unchanged'.

    Raises FileExistsError when a file holds something else and ``force`` is not set.
    """
    states = {}
    for path, content in contents.items():
        if not path.exists():
            states[path] = 'written'
        elif path.is_file() and _VERSION.sub(b'', path.read_bytes()) == _VERSION.sub(b'', content):
            states[path] = 'unchanged'
        elif force and path.is_file():
            states[path] = 'replaced'
        else:
            raise FileExistsError(f'{path} is there and holds something else: give another --out, or --force to '
                                  'replace it')
    for path, state in states.items():
        if state != 'unchanged':
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f'{path.name}.partial')
            partial.write_bytes(contents[path])
            os.replace(partial, path)
    return states


def folder_of(out, source) -> Path:
    """Where files go: ``out``, or the folder of the file that they are taken from."""
    return Path(out) if out else Path(source).parent
