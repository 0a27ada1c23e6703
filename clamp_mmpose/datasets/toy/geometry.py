"""Small 3D geometry of the toy bodies: x forward, y up, z to the body's far side in the canonical view."""
from __future__ import annotations

import numpy as np


def turn(points: np.ndarray, degrees: float) -> np.ndarray:
    """Turns (..., 3) points about the vertical axis; positive turns the front towards the viewer."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    points = np.asarray(points, float)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack([c * x + s * z, y, c * z - s * x], axis=-1)


def pitch(points: np.ndarray, degrees: float) -> np.ndarray:
    """Tilts (..., 3) points about the z axis; positive lifts the front."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    points = np.asarray(points, float)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack([c * x - s * y, s * x + c * y, z], axis=-1)


def direction(degrees: float) -> np.ndarray:
    """The unit vector in the x-y plane at an angle above the forward axis: (3,)."""
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0.])


def two_link_joint(start: np.ndarray, end: np.ndarray, upper: float, lower: float, bend: int) -> tuple:
    """Where the joint between two links lies, and where their end comes to lie when the target is out of reach.

    The links bend in the x-y plane: ``bend`` +1 puts the joint in front of the line start-end (for a limb that hangs
    down), -1 behind it. Returns joint (3,), end (3,).
    """
    line = np.asarray(end, float) - start
    span = np.hypot(line[0], line[1])
    reach = np.clip(span, abs(upper - lower) + 1e-3, (upper + lower) * .999)
    unit = line[:2] / max(span, 1e-6)
    along = (upper**2 - lower**2 + reach**2) / (2 * reach)
    aside = np.sqrt(max(upper**2 - along**2, 0.))
    normal = np.array([-unit[1], unit[0]])
    depth = start[2] + line[2] * along / max(reach, 1e-6)
    joint = np.array([*(start[:2] + along * unit + bend * aside * normal), depth])
    return joint, np.array([*(start[:2] + reach * unit), end[2]])


class View:
    """An orthographic camera that looks at one body, slightly from above.

    ``yaw`` 0 is the pure side view, positive turns the front towards the viewer. ``facing`` +1 looks to the right of
    the picture, -1 is the exact mirror image about ``origin``. ``scale`` is in pixels per body unit.
    """

    def __init__(self, *, yaw: float, facing: int, scale: float, origin: tuple, elevation: float = 10.):
        self.yaw, self.facing, self.scale = yaw, facing, scale
        self.origin = np.asarray(origin, float)
        self.elevation = np.radians(elevation)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Body points (..., 3) -> pixels (..., 2)."""
        seen = self.camera(points)
        return self.origin + self.scale * seen[..., :2] * [self.facing, -1]

    def camera(self, points: np.ndarray) -> np.ndarray:
        """Body points (..., 3) -> to the side, up, towards the viewer, in body units (..., 3)."""
        turned = turn(points, self.yaw)
        x, y, z = turned[..., 0], turned[..., 1], turned[..., 2]
        c, s = np.cos(self.elevation), np.sin(self.elevation)
        return np.stack([x, c * y + s * z, s * y - c * z], axis=-1)  # what is far away stands higher

    def depth(self, points: np.ndarray) -> np.ndarray:
        """How far points (..., 3) are towards the viewer, in body units (...)."""
        return self.camera(points)[..., 2]
