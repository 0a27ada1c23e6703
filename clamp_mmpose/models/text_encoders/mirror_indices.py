from __future__ import annotations

import re
from collections.abc import Sequence

_OTHER_SIDE = {'left': 'right', 'right': 'left', 'l': 'r', 'r': 'l'}


def mirror_indices(names: Sequence[str]) -> list[int]:
    """For each keypoint name the index of what is there in a mirrored image: MMPose's ``flip_indices``, from words.

    'left' and 'right' change places, as do 'l' and 'r' standing alone, in 'left eye', 'L_Eye' or 'leftEye'; a name
    without a side stays. Raises ValueError where the other side of a name is not among ``names``: a flip test would
    average the maps of two sides.
    """
    words = [_words(name) for name in names]
    places = {name: index for index, name in enumerate(words)}
    mirrored = [tuple(_OTHER_SIDE.get(word, word) for word in name) for name in words]
    alone = [name for name, other in zip(names, mirrored) if other not in places]
    if alone:
        raise ValueError(f'the other side of {", ".join(map(repr, alone))} is not among the names; a flip test needs '
                         'both sides of each, or flip_test=False')
    return [places[other] for other in mirrored]


def _words(name: str) -> tuple[str, ...]:
    apart = re.sub(r'(?<=[a-z0-9])(?=[A-Z])', ' ', name)
    return tuple(re.findall(r'[^\W_]+', apart.lower()))
