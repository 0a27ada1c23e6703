"""Shapes of tails, as data."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tail:
    """A tube from the root of the tail.

    path: (x, y) after the root, in lengths of the tail; sway: how much of a random swing each point takes, (x, y);
    radii: of root and path, in body units; color, tip: which colour of the coat ('' is that of the body, or none);
    tip_radius: in body units.
    """
    path: tuple
    radii: tuple
    sway: tuple = ((0, 0), (0, 0), (1, 0))
    color: str = ''
    tip: str = ''
    tip_radius: float = .075


_HANGING = ((-.22, -.1), (-.35, -.5), (-.3, -1.))
_LEVEL = ((0, 0), (0, 1), (0, 2))

TAILS = dict(
    thin=Tail(_HANGING, (.055, .045, .04, .035)),
    tuft=Tail(_HANGING, (.055, .045, .04, .035), tip='hair'),
    hair=Tail(_HANGING, (.06, .1, .12, .05), color='hair'),
    raised=Tail(((-.3, .25), (-.35, .7), (-.15, 1.)), (.055, .045, .04, .035)),
    brush=Tail(((-.35, -.05), (-.7, -.2), (-1., -.1)), (.06, .13, .16, .05), _LEVEL, tip='belly', tip_radius=.08),
    bushy=Tail(((-.35, 0), (-.7, -.1), (-1., .1)), (.09, .11, .11, .07), _LEVEL),
    stub=Tail(_HANGING, (.1, .1, .08, .05)),
    puff=Tail(_HANGING, (.12, .12, .12, .12), color='tail'),
    curl=Tail(((-.55, .5), (-1.05, .05), (-.65, -.4), (-.3, 0)), (.03, ) * 5, ((0, 0), ) * 4))


def tail_points(tail: Tail, root: np.ndarray, length: float, swing: float) -> np.ndarray:
    """Centres of the tube (N, 3), in body units. The tail of a sitting animal lies on the ground."""
    path = np.array([(0, 0), *tail.path]) + swing * np.array([(0, 0), *tail.sway])
    points = root + length * np.column_stack([path, np.zeros(len(path))])
    points[:, 1] = np.maximum(points[:, 1], .06)
    return points
