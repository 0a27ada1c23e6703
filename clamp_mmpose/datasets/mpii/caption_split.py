from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

from ..splits import draw
from .person import MpiiPerson

BY = {'image': lambda person: person.image, 'video': lambda person: person.video}


def split_people(people: Sequence[MpiiPerson], *, percent: int = 20, seed: int = 0,
                 by: str = 'image') -> tuple[list[MpiiPerson], list[MpiiPerson]]:
    """Training and validation people, each in the order of their images' names.

    What ``by`` names, an image or a video, is in one of the two as a whole. Validation gets as many as come nearest to
    ``percent`` of the people, rounded up. The draw depends on the seed and the names alone.

    Raises ValueError when there is nothing to divide.
    """
    if by not in BY:
        raise ValueError(f"by={by!r} must be 'image' or 'video'")
    if not 0 < percent < 100:
        raise ValueError(f'percent={percent} must be above 0 and below 100')
    groups = _group(people, BY[by])
    if len(groups) < 2:
        raise ValueError(f'{len(people)} people of {len(groups)} {by}{"" if len(groups) == 1 else "s"} cannot be '
                         'divided into training and validation')
    target = -int(-len(people) * percent // 100)
    queue = draw(groups, len(groups), seed=seed, protocol=f'mpii-captions/{by}')
    sizes = [*accumulate(len(groups[key]) for key in queue[:-1])]
    number = 1 + min(range(len(sizes)), key=lambda index: abs(sizes[index] - target))
    chosen = set(queue[:number])
    parts = ([key for key in groups if key not in chosen], chosen)
    return tuple(sorted((person for key in keys for person in groups[key]), key=lambda person: person.image)
                 for keys in parts)


def shared_videos(train: Sequence[MpiiPerson], val: Sequence[MpiiPerson]) -> int:
    """How many validation people are in frames of videos that training frames are of too."""
    seen = {person.video for person in train} - {None}
    return sum(person.video in seen for person in val)


def _group(people: Sequence[MpiiPerson], key: Callable) -> dict:
    groups = {}
    for person in people:
        groups.setdefault(key(person), []).append(person)
    return groups
