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
