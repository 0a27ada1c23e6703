from __future__ import annotations

import re
from collections.abc import Sequence


def find_foreign_names(names: Sequence[str], keypoints: Sequence[str]) -> list[tuple[str, str, str]]:
    """Short names that abbreviate another keypoint than the one in their place.

    Returns (name, its keypoint, the keypoint that it abbreviates). A name such as 'lknee' abbreviates 'left_knee'; of
    names that abbreviate nothing, or their own keypoint too, nothing is said.
    """
    foreign = []
    for name, own in zip(names, keypoints):
        other = next((keypoint for keypoint in keypoints if _abbreviates(name, keypoint)), None)
        if other is not None and not _abbreviates(name, own):
            foreign.append((name, own, other))
    return foreign


def _abbreviates(name: str, keypoint: str) -> bool:
    """Whether ``name`` is the beginnings of some of the words of ``keypoint``, in order: 'rankl' of 'right_ankle'."""
    name = ''.join(_words(name))
    # The letters that may have been reached: a word adds a beginning of itself, or nothing.
    reached = {0}
    for word in _words(keypoint):
        reached |= {end for start in reached for end in range(start + 1, len(name) + 1)
                    if word.startswith(name[start:end])}
    return len(name) > 2 and len(name) in reached


def _words(name: str) -> list[str]:
    return re.findall(r'[^\W_]+', name.lower())
