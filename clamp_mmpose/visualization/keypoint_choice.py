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


def find_parts(wanted: Sequence[str],
               names: Sequence[str],
               dataset_meta: dict,
               *,
               order: Sequence[int] | None = None) -> dict[str, list[int]]:
    """The keypoints of each part of the body in ``wanted``.

    A part is 'lower-body' or 'upper-body', as MMPose's datasets have it; 'first-four', or first-N, of ``order``, in
    which a model writes the keypoints; one of ``names``, or of the dataset's own; or several of these:
    'left knee+left ankle'. Raises ValueError for one that is not there.
    """
    own = [*dataset_meta['keypoint_id2name'].values()]
    known = {_plain(name): index for kind in (own, names) for index, name in enumerate(kind)}
    order = range(len(names)) if order is None else order
    bodies = {f'{half}-body': dataset_meta.get(f'{half}_body_ids') or () for half in ('lower', 'upper')}
    found = {}
    for part in wanted:
        keypoints: set[int] = set()
        for word in part.split('+'):
            start, _, number = word.replace('first-four', 'first-4').partition('first-')
            if word in bodies:
                keypoints.update(bodies[word])
            elif not start and number.isdecimal():
                keypoints.update(order[:int(number)])
            elif _plain(word) in known:
                keypoints.add(known[_plain(word)])
            else:
                raise ValueError(f"mask='{part}': {word!r} must be lower-body, upper-body, first-four (or another "
                                 f'number), or a keypoint, {", ".join(map(repr, names))}')
        if not keypoints:
            raise ValueError(f"mask='{part}': the dataset does not say which keypoints these are")
        found[part] = sorted(keypoints)
    return found


def choose_keypoints(views: Sequence[PoseView], num: int = 5) -> list[int]:
    """Up to ``num`` keypoints spread over the skeleton, from those that at least half of the ``views`` have."""
    seen = np.mean([view.visible > 0 for view in views], axis=0)
    places = np.flatnonzero(seen >= min(0.5, seen.max()))
    picked = np.linspace(0, len(places) - 1, min(num, len(places)))
    return places[np.round(picked).astype(int)].tolist()


def _plain(name: str) -> str:
    return ' '.join(name.lower().replace('_', ' ').split())
