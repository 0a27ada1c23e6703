from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .pose_view import PoseView


def find_keypoints(wanted: Sequence[str], names: Sequence[str]) -> list[int]:
    """The places of the ``wanted`` keypoints in ``names``; upper case and underscores make no difference.

    Raises ValueError for a name that is not there.
    """
    known = [_plain(name) for name in names]
    unknown = [name for name in wanted if _plain(name) not in known]
    if unknown:
        raise ValueError(f'keypoints={unknown} are not among those of the model: {", ".join(map(repr, names))}')
    return [known.index(_plain(name)) for name in wanted]


def choose_keypoints(views: Sequence[PoseView], num: int = 5) -> list[int]:
    """Up to ``num`` keypoints spread over the skeleton, from those that at least half of the ``views`` have."""
    seen = np.mean([view.visible > 0 for view in views], axis=0)
    places = np.flatnonzero(seen >= min(0.5, seen.max()))
    picked = np.linspace(0, len(places) - 1, min(num, len(places)))
    return places[np.round(picked).astype(int)].tolist()


def _plain(name: str) -> str:
    return ' '.join(name.lower().replace('_', ' ').split())
