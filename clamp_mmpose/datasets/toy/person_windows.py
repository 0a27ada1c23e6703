"""Windows on drawn people, of each of which is said which keypoints it shows: tags for training without locations.

Whole people show most of their keypoints, most of the time, which says little of where they are. Windows of many sizes
cut neighbours from each other. Large ones contain others.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

PER_PERSON = 16
_SHARE_LARGE = .25  # of the windows: the rest show parts
_LARGE, _PART = (.7, 1.4), (.4, .85)  # side, over the longer side of the person's box
_LARGE_SHIFT = .15  # of the centre from the person's, at most, over the same
_SEEN = 2  # COCO's flag


class Window(NamedTuple):
    """``box``: x, y, w, h in whole pixels, within the picture; ``square``: x, y, side, around it.

    An input that is as wide as high shows the square, so the keypoints are looked for in there."""

    box: tuple
    square: tuple

    def shows(self, points: np.ndarray) -> np.ndarray:
        """(...,): whether points (..., 2) lie in the square."""
        x, y, side = self.square
        return ((points >= (x, y)) & (points < (x + side, y + side))).all(axis=-1)


def sample_windows(rng: np.random.Generator, box: tuple, size: tuple, number: int, *,
                   share_large: float = _SHARE_LARGE) -> Iterator[Window]:
    """``number`` different windows on the person in ``box`` (x, y, w, h), in a picture of ``size`` (width, height);
    fewer where the box is so small that there are not as many."""
    x, y, w, h = box
    found = set()
    for _ in range(20 * number):
        if len(found) == number:
            return
        large = rng.random() < share_large
        side = max(w, h) * rng.uniform(*(_LARGE if large else _PART))
        center = [start + length / 2 + max(w, h) * rng.uniform(-_LARGE_SHIFT, _LARGE_SHIFT) if large else
                  start + rng.uniform(min(side / 4, length / 2), max(length - side / 4, length / 2))
                  for start, length in ((x, w), (y, h))]
        window = _cut(np.asarray(center) - side / 2, side, size)
        if window is not None and window.box not in found:
            found.add(window.box)
            yield window


def tagged_windows(person: dict, everyone: list, names: tuple, size: tuple) -> Iterator[tuple]:
    """(image, box, tags) for the windows on one person; the tags name what ``everyone`` in the picture shows in it.

    The people are those of ``draw_person_scene``, with file_name and image_id.
    """
    flags = np.stack([one['coco_flags'] for one in everyone])
    points = np.stack([one['coco_keypoints'] for one in everyone])
    for window in sample_windows(_rng(person), person['bbox'], size, PER_PERSON):
        shown = (window.shows(points) & (flags == _SEEN)).any(axis=0)
        yield person['file_name'], window.box, [name for name, there in zip(names, shown) if there]


def windows_to_test(person: dict, size: tuple, number: int) -> Iterator[dict]:
    """Windows on parts of the person as people of their own, with the keypoints that they show of this person."""
    for window in sample_windows(_rng(person), person['bbox'], size, number, share_large=0):
        flags = np.where(window.shows(person['coco_keypoints']), person['coco_flags'], 0)
        if np.count_nonzero(flags == _SEEN):
            yield dict(person, bbox=list(window.box), area=float(window.box[2] * window.box[3]), segmentation=[],
                       coco_flags=flags)


def _rng(person: dict) -> np.random.Generator:
    return np.random.default_rng([person['image_id'], *np.maximum(person['bbox'], 0).astype(int).tolist()])


def _cut(corner: np.ndarray, side: float, size: tuple) -> Window | None:
    """A square cut to the picture, and the square around what is left; None where less than half of it is."""
    low = np.maximum(np.rint(corner), 0).astype(int)
    high = np.minimum(np.rint(corner + side), np.array(size) - 1).astype(int)
    width, height = high - low
    if min(width, height) < side / 2:
        return None
    longer = max(width, height)
    middle = (low + high) / 2
    return Window((*low.tolist(), int(width), int(height)), (*(middle - longer / 2).tolist(), float(longer)))
