"""What drawing a body leaves behind, and how visible its keypoints are in the finished picture."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Canvas

UNLABELLED, HIDDEN, VISIBLE = 0, 1, 2  # COCO's and AP-10K's visibility flags


@dataclass
class Figure:
    """One drawn body.

    keypoints: (K, 2) pixels. away: (K,) points on a side that is turned away from the viewer. own_parts: per keypoint,
    the numbers of the parts that show it. parts: all part numbers of the body.
    """
    keypoints: np.ndarray
    away: np.ndarray
    own_parts: list
    parts: range

    def visibility(self, canvas: Canvas, skeleton: tuple) -> np.ndarray:
        """The flags (K,) that an annotator would give.

        Points out of the picture or on the side turned away are unlabelled; points behind the body's own parts are
        hidden but labelled; points behind something else are labelled when a neighbour in the skeleton (1-based pairs)
        can be seen, and unlabelled otherwise.
        """
        inside = np.array([canvas.contains(point) for point in self.keypoints])
        owners = np.array([canvas.owner_at(point) for point in self.keypoints])
        shown = np.array([owner in own for owner, own in zip(owners, self.own_parts)])
        by_self = (owners >= self.parts.start) & (owners < self.parts.stop)
        # A point on the very edge of its part may fall on the background beside it.
        visible = inside & ~self.away & (shown | (owners == 0))
        flags = np.where(visible, VISIBLE, np.where(by_self, HIDDEN, UNLABELLED))
        for first, second in np.asarray(skeleton) - 1:
            for point, neighbour in ((first, second), (second, first)):
                if visible[neighbour] and not visible[point]:
                    flags[point] = HIDDEN
        flags[~inside | self.away] = UNLABELLED
        return flags


def visible_mask(canvas: Canvas, parts: range) -> np.ndarray:
    """Where any of the parts is seen, on the enlarged canvas: bool."""
    return (canvas.owner >= parts.start) & (canvas.owner < parts.stop)


def visible_box(canvas: Canvas, parts: range) -> tuple:
    """The box x, y, w, h, in whole pixels, around what is seen of the parts. They must be seen somewhere."""
    mask = visible_mask(canvas, parts)
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    x1, y1, x2, y2 = (int(v) // canvas.supersampling for v in (columns[0], rows[0], columns[-1], rows[-1]))
    return x1, y1, x2 - x1 + 1, y2 - y1 + 1
