"""A finished picture with its annotations."""
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Scene:
    """image: (H, W, 3) uint8, RGB; background: (H, W) bool, where neither body nor clutter is; place: AP-10K's number
    of the landscape; annotations: one dict per body, without ids."""
    image: np.ndarray | None
    background: np.ndarray | None
    place: int
    annotations: list

    def without_pixels(self) -> Scene:
        return replace(self, image=None, background=None)


def box_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """The common area of two boxes x1, y1, x2, y2 as a share of the smaller one."""
    size = np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None)
    areas = [np.prod(box[2:] - box[:2]) for box in (first, second)]
    return float(np.prod(size) / min(areas))
