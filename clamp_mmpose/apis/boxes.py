"""Where the animals or people are, as the input of a top-down model."""
from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from .frames import Frame
from .inputs import Input


@dataclasses.dataclass(frozen=True)
class Boxes:
    """The boxes of one frame: corners ``xyxy`` (N, 4) in pixels, ``scores`` (N,) and ``category_ids`` (N,).

    ``image_id`` is that of the annotation file that the boxes come from. ``error`` says why there are none to be had,
    which is not the same as no animal.
    """

    xyxy: np.ndarray
    scores: np.ndarray
    category_ids: np.ndarray
    image_id: int | str | None = None
    error: str | None = None

    @classmethod
    def of(cls, xyxy: Sequence, scores: Sequence, category_ids: Sequence, **kwargs) -> Boxes:
        """From any sequences, none of them too."""
        return cls(
            np.asarray(xyxy, dtype=np.float32).reshape(-1, 4), np.asarray(scores, dtype=np.float32).reshape(-1),
            np.asarray(category_ids, dtype=np.int64).reshape(-1), **kwargs)


class WholeImage:
    """One box around everything: for pictures of a single animal or person.

    What all sources of boxes have: ``categories`` (id -> name), ``next_image_id``, from which on ids of images are
    free, ``prepare`` and ``find``.
    """

    categories = {1: 'whole image'}
    next_image_id = 1

    def prepare(self, inputs: Sequence[Input]) -> dict[str, str]:
        """Says of each path that need not be read, why. Raises ValueError where ``inputs`` cannot be meant."""
        return {}

    def find(self, frames: Sequence[Frame]) -> list[Boxes]:
        """The boxes of each frame."""
        return [Boxes.of([0, 0, *frame.image.shape[1::-1]], [1], [1]) for frame in frames]


def choose_categories(categories: dict[int, str], names: Sequence[str] | None, source: str) -> set[int]:
    """The ids of the ``names``, all without names. Raises ValueError for an unknown one; ``source`` is who knows."""
    if not names:
        return set(categories)
    unknown = [name for name in names if name not in categories.values()]
    if unknown:
        raise ValueError(f'names {", ".join(unknown)}: {source} knows {", ".join(categories.values())}')
    return {number for number, name in categories.items() if name in names}
