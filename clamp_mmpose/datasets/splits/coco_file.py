"""A COCO-style keypoint file as the protocols need it: checked, in one order, with the sum of its bytes."""
from __future__ import annotations

import hashlib
import json
import posixpath
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CocoFile:
    """What one annotation file holds, by rising id, whatever the order in the file.

    ``notes`` counts what was left aside while reading: repeated entries, and annotations of images that are not listed,
    which MMPose does not read either.
    """
    name: str
    sha256: str
    images: dict  # id -> image
    annotations: dict  # id -> annotation
    categories: dict  # id -> category
    rest: dict  # what else stands at the top of the file: info, licenses, ...
    notes: dict

    @property
    def stem(self) -> str:
        return self.name[:-5] if self.name.endswith('.json') else self.name

    @property
    def source(self) -> dict:
        return dict(file=self.name, sha256=self.sha256)

    def by_image(self) -> dict:
        """image id -> its annotations; images without any are left out."""
        groups = {}
        for annotation in self.annotations.values():
            groups.setdefault(annotation['image_id'], []).append(annotation)
        return groups

    def usable(self) -> list[dict]:
        """The annotations that MMPose would train on."""
        return [annotation for annotation in self.annotations.values()
                if is_usable(annotation, self.images[annotation['image_id']], self.name)]


def read_coco(path, asked_by: str = '') -> CocoFile:
    """Reads and checks a file, once. ``asked_by``: what named it, for the error when it is not there.

    Raises FileNotFoundError, or ValueError when it is no COCO-style annotation file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} is not there{asked_by and f" ({asked_by})"}{_neighbours(path)}')
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        content = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not a complete JSON file: {error}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} is a {type(content).__name__}, not a dict of images, annotations and categories')
    notes = Counter()
    parts = {}
    for part, fields in (('images', ('file_name', )), ('annotations', ('image_id', 'category_id')),
                         ('categories', ('name', ))):
        parts[part] = _by_id(content.pop(part, None), part, fields, path, notes)
    listed = parts['images']
    kept = {key: value for key, value in parts['annotations'].items() if value['image_id'] in listed}
    if parts['annotations'] and not kept:
        raise ValueError(f'{path}: no annotation has the id of one of the {len(listed)} images: image_id is '
                         f'{next(iter(parts["annotations"].values()))["image_id"]!r}, images are '
                         f'{", ".join(map(repr, list(listed)[:3])) or "none"}, ...')
    notes['annotations of images that are not listed'] = len(parts['annotations']) - len(kept)
    parts['annotations'] = kept
    content.pop('provenance', None)  # of an earlier split; its file's sum is in the new one
    return CocoFile(path.name, sha256, rest=content, notes={key: n for key, n in notes.items() if n}, **parts)


def is_usable(annotation: dict, image: dict, source: str = 'the annotation file') -> bool:
    """Whether MMPose's top-down datasets would train on it: a box, a labelled keypoint, and no crowd."""
    keypoints, box = annotation.get('keypoints'), annotation.get('bbox')
    if 'keypoints' not in annotation or 'bbox' not in annotation:
        return False
    for name, value, fits in (('keypoints', keypoints, lambda length: length and length % 3 == 0),
                              ('bbox', box, lambda length: length == 4)):
        if not isinstance(value, list) or not fits(len(value)) or not set(map(type, value)) <= {int, float}:
            form = 'x, y, v of each keypoint' if name == 'keypoints' else 'x, y, w, h'
            raise ValueError(f'{name} of annotation {annotation["id"]} in {source} must be a list of numbers: {form}')
    if annotation.get('iscrowd') or annotation.get('num_keypoints', 1) == 0 or not any(keypoints[2::3]):
        return False
    if max(keypoints[::3] + keypoints[1::3]) <= 0:
        return False
    return all(_inside(start, length, image.get(side), image, source)
               for start, length, side in ((box[0], box[2], 'width'), (box[1], box[3], 'height')))


def same_picture(image: dict) -> str:
    """What tells pictures apart across files: ids start anew in each file of some datasets."""
    return posixpath.normpath(str(image['file_name']).replace('\\', '/'))  # './a.jpg' is 'a.jpg'


def in_order(records) -> list:
    """By rising id, numbers before texts."""
    return sorted(records, key=lambda record: (isinstance(record['id'], str), record['id']))


def plural(noun: str, number: int) -> str:
    return noun if number == 1 else f'{noun}s'


def _inside(start: float, length: float, limit, image: dict, source: str) -> bool:
    """Whether something is left of one side of a box when it is cut to the picture."""
    if not isinstance(limit, (int, float)):
        raise ValueError(f'image {image["id"]} in {source} must have a width and a height')
    first, last = (min(max(value, 0), limit - 1) for value in (start, start + length))
    return last > first


def _by_id(records, part: str, fields: tuple, path: Path, notes: Counter) -> dict:
    if not isinstance(records, list):
        raise ValueError(f'{path} is not a COCO-style annotation file: it has no list of {part}')
    found = {}
    for record in records:
        key = record.get('id') if isinstance(record, dict) else None
        if isinstance(key, bool) or not isinstance(key, (int, str)):
            raise ValueError(f'{path}: each of its {part} must be a dict with an id, not {_short(record)}')
        missing = [field for field in fields if not isinstance(record.get(field), (int, str))]
        if missing:
            raise ValueError(f'{path}: {part} with id {key} must have {" and ".join(missing)}')
        if found.setdefault(key, record) is not record:
            if found[key] != record:
                raise ValueError(f'{path}: id {key} stands for two different {part}')
            notes[f'repeated {part}'] += 1
    return {record['id']: record for record in in_order(found.values())}


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:60]}...'


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f'; there is no folder {path.parent}'
    names = sorted(other.name for other in path.parent.glob('*.json'))
    shown = ', '.join(names[:8]) + (f' and {len(names) - 8} more' if len(names) > 8 else '')
    return f'; {path.parent} holds {shown or "no .json file"}'
