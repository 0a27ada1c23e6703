from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmpose.evaluation.functional import nms

from .boxes import Boxes, choose_categories
from .frames import Frame
from .inputs import Input


class BoxFile:
    """Boxes that are known already, of each image by its file name.

    The file is one of

    - COCO annotations (``images`` and ``annotations``); their boxes are cut at the border as MMPose's datasets do, and
      crowds are left out;
    - COCO detections, a list of ``image_id``, ``bbox``, ``score`` and ``category_id``, with the COCO file that has the
      ``images`` as second;
    - MegaDetector's output, whose boxes are fractions of the image; category 'animal' unless ``names`` says otherwise.

    An input belongs to the file name that its path ends with. Of a video, the images table gives the ``frame`` (as our
    own images.json does), or MegaDetector's detections the ``frame_number``; frames that are not there have no boxes.

    Args:
        names: the categories that count, all if None.
        bbox_thr: boxes with a lower score are left out; annotations have none.
        nms_thr: if given, of two boxes that overlap more (IoU) the surer stays.
        strict: an annotation without a box, or with one of no size, is an error; else it is left out.
    """

    def __init__(self,
                 path: str | Path,
                 images: str | Path | None = None,
                 *,
                 names: Sequence[str] | None = None,
                 bbox_thr: float = 0.3,
                 nms_thr: float | None = None,
                 strict: bool = False) -> None:
        self.path, self.nms_thr = str(path), nms_thr
        self._unknown = f'{path} has no such file name'
        content = _read_json(path)
        if isinstance(content, list):
            if images is None:
                raise ValueError(f'{path} is a list of detections without file names; give the COCO file with its '
                                 'images as second')
            content = dict(_read_json(images), annotations=content)
        try:
            if any('detections' in image for image in content['images']):
                self.categories, self._entries = _read_megadetector(content)
                names = names or [name for name in self.categories.values() if name == 'animal']
            else:
                self.categories, self._entries = _read_coco(content, strict)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f'{path} is not a COCO or MegaDetector file with boxes: {type(error).__name__} '
                             f'{error}') from error
        self._wanted = choose_categories(self.categories, names, str(path))
        self._bbox_thr = bbox_thr
        self._file_names: dict[str, str | None] = {}
        ids = [entry.image_id for frames in self._entries.values() for entry in frames.values()]
        self.next_image_id = max([number for number in ids if isinstance(number, int)], default=0) + 1

    def prepare(self, inputs: Sequence[Input]) -> dict[str, str]:
        """Which paths are not in the file. Raises ValueError if none is, or two of them stand for the same entry."""
        self._file_names = {item.path: self._find_name(item.path) for item in inputs}
        owners = {}
        for path, name in self._file_names.items():
            if name is not None and owners.setdefault(name, path) != path:
                raise ValueError(f"{self.path}: '{name}' could be {owners[name]} as well as {path}; give the inputs of "
                                 'one folder at a time')
        if not owners:
            known = next(iter(self._entries), 'none')
            raise ValueError(f"{self.path} names none of the inputs: file names there are like '{known}', and the path "
                             f'of an input, like {inputs[0].path}, must end with one')
        return {path: self._unknown for path, name in self._file_names.items() if name is None}

    def find(self, frames: Sequence[Frame]) -> list[Boxes]:
        """The boxes of each frame."""
        return [self._find(frame) for frame in frames]

    def _find(self, frame: Frame) -> Boxes:
        path = frame.input.path
        name = self._file_names[path] if path in self._file_names else self._find_name(path)
        if name is None:
            return Boxes.of([], [], [], error=self._unknown)
        entry = self._entries[name].get(frame.index)
        if entry is None:
            reason = 'is of video frames, and this is an image' if frame.index is None else 'is of an image'
            alike = any((index is None) == (frame.index is None) for index in self._entries[name])
            return Boxes.of([], [], [], error=None if alike else f'its entry in {self.path} {reason}')
        return entry.boxes(frame.image.shape[1::-1], self._wanted, self._bbox_thr, self.nms_thr)

    def _find_name(self, path: str) -> str | None:
        parts = Path(os.path.abspath(path)).as_posix().split('/')  # links keep their own names
        endings = ('/'.join(parts[start:]) for start in range(len(parts)))
        return next((ending for ending in endings if ending in self._entries), None)


class _Entry:
    """What a file says of one image or frame. Boxes are (x, y, w, h, score, category id)."""

    def __init__(self, image_id, size=None, *, relative=False, annotated=False, error=None):
        self.image_id, self.size = image_id, size
        self.relative, self.annotated, self.error = relative, annotated, error
        self.rows = []

    def boxes(self, size: tuple[int, int], wanted: set[int], bbox_thr: float, nms_thr: float | None) -> Boxes:
        if self.size is not None and tuple(self.size) != tuple(size):
            self_size, own = ' x '.join(map(str, self.size)), ' x '.join(map(str, size))
            return Boxes.of([], [], [], image_id=self.image_id,
                            error=f'the image has {own} pixels, the file with its boxes says {self_size}')
        if self.error:
            return Boxes.of([], [], [], image_id=self.image_id, error=self.error)
        rows = np.array(self.rows, dtype=np.float64).reshape(-1, 6)
        if self.relative:
            rows[:, :4] *= [*size, *size]
        corners = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        if self.annotated:
            corners = corners.clip(0, np.array([*size, *size]) - 1)
        usable = (corners[:, 2:] > corners[:, :2]).all(1) & np.isin(rows[:, 5], [*wanted]) & (rows[:, 4] >= bbox_thr)
        corners, rows = corners[usable], rows[usable]
        if nms_thr is not None and len(rows):
            kept = nms(np.concatenate([corners, rows[:, 4:5]], axis=1), nms_thr)
            corners, rows = corners[kept], rows[kept]
        return Boxes.of(corners, rows[:, 4], rows[:, 5], image_id=self.image_id)


Entries = dict  # file name -> frame (None for an image) -> _Entry


def _read_json(path: str | Path) -> dict | list:
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is not JSON: {error}') from None


def _read_coco(content: dict, strict: bool) -> tuple[dict[int, str], Entries]:
    by_id, entries = {}, {}
    for image in content['images']:
        size = (image['width'], image['height']) if image.get('width') and image.get('height') else None
        by_id[image['id']] = _Entry(image['id'], size)
        frames = entries.setdefault(_plain(image['file_name']), {})
        if frames.setdefault(image.get('frame'), by_id[image['id']]) is not by_id[image['id']]:
            raise ValueError(f"'{image['file_name']}' is there twice")
    for item in content['annotations']:
        if item.get('iscrowd') or not (strict or item.get('bbox')):
            continue
        _check_box(item, strict)
        entry = by_id[item['image_id']]
        entry.annotated = entry.annotated or 'score' not in item
        entry.rows.append((*item['bbox'], item.get('score', 1), item.get('category_id', 1)))
    names = {category['id']: category['name'] for category in content.get('categories', [])}
    used = {int(row[5]) for entry in by_id.values() for row in entry.rows}
    return {**{number: f'category {number}' for number in used}, **names} or {1: 'category 1'}, entries


def _check_box(item: dict, strict: bool) -> None:
    box = item.get('bbox')
    if not isinstance(box, list) or len(box) != 4 or not np.isfinite(box).all() or (strict and min(box[2:]) <= 0):
        raise ValueError(f'bbox={box} of annotation {item.get("id")} must be x, y, w, h with w and h above 0')


def _read_megadetector(content: dict) -> tuple[dict[int, str], Entries]:
    entries = {}
    for number, image in enumerate(content['images'], 1):
        detections, failure = image.get('detections'), image.get('failure')
        frames = entries.setdefault(_plain(image['file']), {})
        # A video has one list for all of its frames, and ids of its own making.
        is_video = any('frame_number' in found for found in detections or []) or 'frame_rate' in image
        if not is_video:
            frames[None] = _Entry(number, relative=True, error=failure and f'MegaDetector: {failure}')
        for found in detections or []:
            entry = frames.setdefault(found.get('frame_number'), _Entry(None, relative=True))
            entry.rows.append((*found['bbox'], found['conf'], int(found['category'])))
        if is_video:
            frames.setdefault(-1, _Entry(None, relative=True))  # known, even if nothing was found in it
    names = content.get('detection_categories') or {'1': 'animal', '2': 'person', '3': 'vehicle'}
    return {int(number): name for number, name in names.items()}, entries


def _plain(file_name: str) -> str:
    return posixpath.normpath(file_name.replace('\\', '/'))
