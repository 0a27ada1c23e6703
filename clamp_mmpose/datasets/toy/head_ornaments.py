"""Shapes of ears and horns, as data."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .species import BLACK, CREAM, PINK, WHITE


@dataclass(frozen=True)
class Ear:
    """A tube from the skull, and a smaller one inside it.

    base: in radii of the skull; path: points after the base, and radii of base and path, in lengths of the ear. All z
    are for the far side. ``light`` shades the colour of the head.
    """
    base: tuple
    path: tuple
    radii: tuple
    inner_path: tuple = ()
    inner_radii: tuple = ()
    inner_color: tuple | None = PINK
    light: float = 1.


EARS = dict(
    pointed=Ear((-.25, .72, .55), ((-.15, .48, .15), (-.3, .95, .3)), (.42, .3, .08),
                ((0, 0, 0), (-.2, .66, .2)), (.2, .05)),
    round=Ear((-.2, .85, .72), ((-.02, .3, 0), ), (.8, .8), ((0, 0, 0), (0, .2, 0)), (.4, .4), None),
    long=Ear((-.3, .75, .4), ((-.19, .46, .1), (-.38, .92, .2)), (.2, .2, .09),
             ((-.15, .37, .08), (-.3, .74, .16)), (.1, .07)),
    floppy=Ear((-.25, .55, .8), ((-.3, -.4, .24), (-.22, -1, .4)), (.32, .4, .3)),
    side=Ear((-.35, .5, .75), ((-.5, .12, .5), (-.95, 0, .8)), (.2, .3, .1)),
    flap=Ear((-.1, .8, .55), ((.4, .35, .4), (.9, -.25, .6)), (.42, .32, .1)),
    fan=Ear((-.55, .1, .85), ((-.3, .1, .3), (-.35, -.5, .3)), (.4, .52, .25), light=.9))

# Per kind: where it grows ('skull' or 'muzzle'), then tubes as (points, radii, colour), in body units from there.
# A colour of None is that of the face.
HORNS = dict(
    curved=('skull', (((0, 0, 0), (.02, .1, .2), (.06, .26, .22)), (.05, .045, .015), CREAM)),
    straight=('skull', (((0, 0, 0), (-.1, .3, .06), (-.3, .55, .1)), (.045, .035, .012), (70, 58, 52))),
    ossicones=('skull', (((0, 0, 0), (-.02, .2, .02)), (.04, .035), None),
               (((-.02, .2, .02), (-.02, .23, .02)), (.055, .055), BLACK)),
    antlers=('skull', (((0, 0, 0), (-.14, .22, .16), (-.22, .5, .22)), (.04, .036, .018), (196, 164, 122)),
             (((-.1, .17, .08), (0, .28, .12), (.02, .4, .14)), (.03, .027, .012), (196, 164, 122)),
             (((-.17, .33, .14), (-.07, .43, .18), (-.05, .53, .2)), (.03, .027, .012), (196, 164, 122))),
    tusks=('muzzle', (((-.06, -.05, .13), (.1, -.19, .18), (.26, -.17, .18)), (.045, .04, .015), WHITE)))

_HORN_BASE = np.array([.05, .85, .4])  # in radii of the skull


def ear_tubes(kind: str, length: float, skull: float, side: int) -> list:
    """Tubes of one ear as (points (N, 3) of the head's frame, radii (N,), is_inner)."""
    ear, mirror = EARS[kind], np.array([1, 1, side])
    base = skull * np.array(ear.base)
    points = np.concatenate([base[None], base + length * np.array(ear.path)]) * mirror
    tubes = [(points, length * np.array(ear.radii), False)]
    if ear.inner_path:
        tubes.append(((base + length * np.array(ear.inner_path)) * mirror, length * np.array(ear.inner_radii), True))
    return tubes


def horn_tubes(kind: str, skull: float, muzzle_tip: np.ndarray, side: int) -> list:
    """Tubes of one horn, tusk or antler as (points (N, 3) of the head's frame, radii (N,), colour or None)."""
    place, *pieces = HORNS[kind]
    base = skull * _HORN_BASE if place == 'skull' else muzzle_tip
    return [((base + np.array(path)) * [1, 1, side], np.array(radii), color) for path, radii, color in pieces]
