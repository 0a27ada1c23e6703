"""MPII's own annotation file, ``mpii_human_pose_v1_u12_1.mat``."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .person import NUM_JOINTS, MpiiPerson


def read_release(path: Path) -> tuple[list[MpiiPerson], dict, list]:
    """The people who are alone in their image, as the paper on pose captions finds them.

    An image counts if its list in ``single_person`` has exactly one entry: one person far enough from all others, who
    may be there too. Returns those with annotated joints; how many images were left at each step; and remarks.

    Raises ValueError when it is no such file.
    """
    release = _load(path)
    entries, singles = _items(release.annolist), _items(release.single_person)
    if len(entries) != len(singles):
        raise ValueError(f'{path}: annolist has {len(entries)} images, single_person {len(singles)}')
    videos = [_text(name) for name in _items(getattr(release, 'video_list', None))]
    people, odd = [], Counter()
    num_single = 0
    for entry, single in zip(entries, singles):
        numbers = [int(number) for number in map(_number, _items(single)) if number is not None]
        if len(numbers) != 1:
            continue
        num_single += 1
        people += _person(entry, numbers[0], videos, odd)
    counts = {'images': len(entries), 'with exactly one entry in single_person': num_single,
              'whose person has annotated joints': len(people)}
    return people, counts, [f'{number} images {what}' for what, number in odd.items()]


def _person(entry, number: int, videos: list, odd: Counter) -> Iterator[MpiiPerson]:
    """Nothing or the one person. number: of the rectangle, from 1."""
    rectangles = _items(getattr(entry, 'annorect', None))
    image = _text(_child(entry, 'image', 'name'))
    if not image:
        odd['without a name left out'] += 1
        return
    if not 1 <= number <= len(rectangles):
        odd['whose single_person is no rectangle of theirs left out'] += 1
        return
    rectangle = rectangles[number - 1]
    joints, marked = np.full((NUM_JOINTS, 2), np.nan), np.zeros(NUM_JOINTS, dtype=int)
    for point in _items(_child(rectangle, 'annopoints', 'point')):
        x, y, joint = (_number(getattr(point, name, None)) for name in ('x', 'y', 'id'))
        if None in (x, y, joint) or joint not in range(NUM_JOINTS):
            continue
        joints[int(joint)] = x, y
        visible = _number(getattr(point, 'is_visible', None))
        marked[int(joint)] = 1 if visible is None else visible > 0  # the head's joints have no mark
    if np.isnan(joints).all():
        return  # of the test images, or not annotated
    center = tuple(_number(_child(rectangle, 'objpos', axis)) for axis in 'xy')
    corners = [_number(getattr(rectangle, name, None)) for name in ('x1', 'y1', 'x2', 'y2')]
    yield MpiiPerson(
        image, joints, marked, None if None in center else center, _number(getattr(rectangle, 'scale', None)),
        head_box=None if None in corners else np.array(corners).reshape(2, 2),
        video=_video(_number(getattr(entry, 'vididx', None)), videos))


def _video(number: float | None, videos: list) -> str | None:
    """The name in video_list, so that a video listed twice is one; vididx counts from 1."""
    if number is None:
        return None
    inside = 1 <= number <= len(videos)
    return (videos[int(number) - 1] if inside else '') or f'video {int(number)}'


def _load(path: Path):
    from scipy.io import loadmat
    try:
        content = loadmat(path, struct_as_record=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # SciPy raises many kinds for a file that is damaged or something else
        hint = '; save it again with -v7' if isinstance(error, NotImplementedError) else ''
        raise ValueError(f'{path} cannot be read as a .mat file: {error}{hint}') from error
    found = _items(content.get('RELEASE'))
    missing = [name for name in ('annolist', 'single_person') if not found or not hasattr(found[0], name)]
    if missing:
        names = ', '.join(name for name in content if not name.startswith('__')) or 'nothing'
        raise ValueError(f'{path} is not mpii_human_pose_v1_u12_1.mat: it has no RELEASE with {" and ".join(missing)}, '
                         f'but {names}')
    return found[0]


def _items(value) -> list:
    """The structs, cells or numbers of a MATLAB array; empty for one that is empty or not there."""
    return [] if value is None else list(np.asarray(value).ravel())


def _child(struct, name: str, child: str):
    """``struct.name.child``; None where either is missing or empty."""
    inner = _items(getattr(struct, name, None))
    return getattr(inner[0], child, None) if inner else None


def _number(value) -> float | None:
    """A finite number, which the file has as a number or as text; None for anything else."""
    items = _items(value)
    try:
        number = float(items[0])
    except (IndexError, TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _text(value) -> str:
    items = _items(value)
    return str(items[0]).strip() if items and isinstance(items[0], str) else ''
