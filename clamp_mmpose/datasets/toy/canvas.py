"""A painted picture that also remembers, for each pixel, which body part was painted there last."""
from __future__ import annotations

from contextlib import contextmanager

import cv2
import numpy as np

_SHIFT = 4  # fractional bits of OpenCV's sub-pixel drawing coordinates
_ANGLES = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_OUTLINE_KERNEL = np.ones((5, 5), np.uint8)  # an outline is two enlarged pixels wide
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


class Tube:
    """A limb: circles of changing radius swept along a line of centres, in pixels.

    centers: (N, 2); radii: (N,). With ``steps`` the line is smoothed to that many circles.
    """

    def __init__(self, centers: np.ndarray, radii: np.ndarray, *, steps: int = 0):
        centers, radii = np.asarray(centers, float), np.asarray(radii, float)
        if steps:
            centers, radii = _smooth(centers, steps), _smooth(radii[:, None], steps)[:, 0]
        self.centers, self.radii = centers, radii

    def surface(self, along: float, across: float) -> np.ndarray:
        """The point at ``along`` in [0, 1] of the length and ``across`` in [-1, 1] of the radius: (2,)."""
        at = np.clip(along, 0, 1) * (len(self.centers) - 1)
        i = min(int(at), len(self.centers) - 2)
        step = self.centers[i + 1] - self.centers[i]
        center = self.centers[i] + (at - i) * step
        radius = self.radii[i] + (at - i) * (self.radii[i + 1] - self.radii[i])
        normal = np.array([-step[1], step[0]]) / max(np.hypot(*step), 1e-6)
        return center + across * radius * normal

    @property
    def length(self) -> float:
        return float(np.linalg.norm(np.diff(self.centers, axis=0), axis=1).sum())


def _smooth(values: np.ndarray, steps: int) -> np.ndarray:
    """Catmull-Rom interpolation of (N, D) control values at ``steps`` places."""
    padded = np.concatenate([2 * values[:1] - values[1:2], values, 2 * values[-1:] - values[-2:-1]])
    at = np.linspace(0, len(values) - 1, steps)
    i = np.minimum(at.astype(int), len(values) - 2)
    t = (at - i)[:, None]
    a, b, c, d = padded[i], padded[i + 1], padded[i + 2], padded[i + 3]
    return .5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


class Canvas:
    """An RGB picture drawn at twice its size, with a map of part numbers beside it.

    Coordinates are pixels of the final picture, (x, y), with pixel centres at whole numbers. Part 0 is the background.
    """

    supersampling = 2

    def __init__(self, width: int, height: int):
        self.width, self.height = width, height
        size = (height * self.supersampling, width * self.supersampling)
        self.color = np.zeros((*size, 3), np.uint8)
        self.owner = np.zeros(size, np.int32)
        self.num_parts = 0

    def new_part(self) -> int:
        self.num_parts += 1
        return self.num_parts

    def image(self) -> np.ndarray:
        """The picture at its final size: (height, width, 3) uint8, RGB."""
        return cv2.resize(self.color, (self.width, self.height), interpolation=cv2.INTER_AREA)

    def background(self) -> np.ndarray:
        """Where no part is painted, at the final size: (height, width) bool."""
        return self.owner[::self.supersampling, ::self.supersampling] == 0

    def owner_at(self, point: np.ndarray) -> int:
        """The part seen at a point inside the picture."""
        x, y = np.clip(np.rint(self.scaled(point)).astype(int), 0, [self.owner.shape[1] - 1, self.owner.shape[0] - 1])
        return int(self.owner[y, x])

    def contains(self, point: np.ndarray) -> bool:
        x, y = np.rint(point)
        return 0 <= x < self.width and 0 <= y < self.height

    def scaled(self, points: np.ndarray) -> np.ndarray:
        """Final pixels -> pixels of the enlarged arrays."""
        return np.asarray(points, float) * self.supersampling + (self.supersampling - 1) / 2

    @contextmanager
    def only(self, part: int):
        """Whatever is painted inside this context stays on pixels of ``part`` and spares its outline."""
        before = self.color.copy()
        yield
        outside = cv2.dilate(cv2.compare(self.owner, part, cv2.CMP_NE), _OUTLINE_KERNEL)
        cv2.copyTo(before, outside, self.color)

    def polygon(self, points: np.ndarray, color: tuple, part: int | None = None) -> None:
        """Fills a polygon. Without ``part`` only colour is painted."""
        points = self._fixed(points)
        cv2.fillPoly(self.color, [points], color, cv2.LINE_AA, _SHIFT)
        if part is not None:
            cv2.fillPoly(self.owner, [points], part, cv2.LINE_8, _SHIFT)

    def tubes(self, tubes: list, color: tuple, part: int | None = None, *, outline: tuple | None = None,
              line: float = .8) -> None:
        """Fills the union of tubes, with one outline of ``line`` pixels around all of them."""
        if outline is not None:
            for tube in tubes:
                self._sweep(tube, line, outline, part)
        for tube in tubes:
            self._sweep(tube, 0, color, part)

    def disc(self, center: np.ndarray, radius: float, color: tuple, part: int | None = None) -> None:
        self.polygon(np.asarray(center) + radius * _CIRCLE, color, part)

    def line(self, points: np.ndarray, color: tuple, width: float, part: int | None = None) -> None:
        """A polyline with round ends."""
        points = np.asarray(points, float)
        self.tubes([Tube(points, np.full(len(points), width / 2))], color, part)

    def _sweep(self, tube: Tube, grow: float, color: tuple, part: int | None) -> None:
        rings = tube.centers[:, None] + (tube.radii + grow)[:, None, None] * _CIRCLE  # (N, 28, 2)
        rings = self._fixed(rings.reshape(-1, 2)).reshape(len(rings), -1, 2)
        for first, second in zip(rings[:-1], rings[1:]):
            hull = cv2.convexHull(np.concatenate([first, second]))
            cv2.fillConvexPoly(self.color, hull, color, cv2.LINE_AA, _SHIFT)
            if part is not None:
                cv2.fillConvexPoly(self.owner, hull, part, cv2.LINE_8, _SHIFT)

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        return np.rint(self.scaled(points) * (1 << _SHIFT)).astype(np.int32)
