"""Articulated poses of people: where the joints of one body are, in metres."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import pitch, turn

HEIGHT = 1.86  # of a standing person, from the soles to the top of the head
HEAD_RADIUS = .155
SIDES = dict(left=1, right=-1)  # signs of z: in the canonical view the left side is the far one

_UPPER_ARM, _LOWER_ARM, _THIGH, _SHANK = .3, .27, .45, .43


@dataclass
class PersonPose:
    """joints: name -> (3,) for shoulders, elbows, wrists, hips, knees, ankles, toes, pelvis, thorax and upper_neck; the
    lowest point is at y = 0. ``head`` maps points of the head's own frame (x out of the face) to the body's."""
    joints: dict
    head_origin: np.ndarray
    head_pitch: float
    head_yaw: float

    def head(self, points: np.ndarray) -> np.ndarray:
        return turn(pitch(points, self.head_pitch), self.head_yaw) + self.head_origin


@dataclass(frozen=True)
class Posture:
    """Ranges of angles in degrees. Arms and legs: (swing, spread, flex) of the first and of the second limb; swing is
    forward, spread to the side, flex at the elbow or knee."""
    name: str
    arms: tuple
    legs: tuple
    lean: tuple = (-6, 8)


_HANGING = ((-15, 15), (6, 18), (5, 35))
_STANDING = ((-6, 8), (2, 9), (0, 10))

POSTURES = (
    Posture('standing', (_HANGING, _HANGING), (_STANDING, _STANDING)),
    Posture('walking', (((15, 40), (4, 12), (15, 50)), ((-40, -15), (4, 12), (5, 30))),
            (((-32, -12), (1, 5), (5, 30)), ((14, 34), (1, 5), (0, 15)))),
    Posture('running', (((25, 60), (6, 16), (70, 105)), ((-60, -25), (6, 16), (60, 100))),
            (((-45, -20), (1, 6), (40, 95)), ((40, 70), (1, 6), (40, 90))), (8, 20)),
    Posture('waving', (((-10, 25), (120, 165), (10, 60)), _HANGING), (_STANDING, _STANDING)),
    Posture('cheering', (((-10, 30), (110, 165), (5, 50)), ((-10, 30), (110, 165), (5, 50))),
            (((-10, 15), (8, 22), (0, 20)), ((-10, 15), (8, 22), (0, 20)))),
    Posture('stretching', (((-8, 10), (70, 100), (0, 25)), ((-8, 10), (70, 100), (0, 25))),
            (((-5, 8), (6, 22), (0, 8)), ((-5, 8), (6, 22), (0, 8)))),
    Posture('reaching', (((55, 105), (0, 20), (5, 40)), ((30, 100), (0, 20), (5, 60))),
            (((-12, 18), (2, 9), (0, 15)), ((-12, 18), (2, 9), (0, 15)))),
    Posture('sitting', (((15, 50), (4, 14), (20, 70)), ((15, 50), (4, 14), (20, 70))),
            (((78, 95), (3, 14), (75, 95)), ((78, 95), (3, 14), (75, 95))), (-8, 10)),
    Posture('crouching', (((30, 70), (4, 14), (20, 60)), ((30, 70), (4, 14), (20, 60))),
            (((75, 105), (8, 20), (100, 130)), ((75, 105), (8, 20), (100, 130))), (15, 35)),
    Posture('kicking', (((-30, 10), (25, 60), (5, 40)), ((10, 40), (25, 60), (5, 40))),
            (_STANDING, ((45, 80), (2, 10), (0, 35))), (-14, 2)))


def sample_person_pose(rng: np.random.Generator, posture: Posture) -> PersonPose:
    """Draws the angles of a posture; which arm and leg does what is a coin's toss."""
    lean = rng.uniform(*posture.lean)
    pelvis = np.array([0., .92, 0.])

    def upright(x: float, y: float, z: float) -> np.ndarray:
        return pelvis + pitch(np.array([x, y, z]), -lean)

    joints = dict(pelvis=pelvis, thorax=upright(0, .5, 0), upper_neck=upright(.01, .58, 0))
    swap = rng.random() < .5
    for name, side in SIDES.items():
        arm = posture.arms[(side > 0) ^ swap]
        leg = posture.legs[(side > 0) ^ swap]
        joints[f'{name}_shoulder'] = upright(0, .47, .185 * side)
        joints[f'{name}_hip'] = upright(0, -.01, .1 * side)
        swing, spread, flex = (rng.uniform(*limits) for limits in arm)
        elbow = joints[f'{name}_shoulder'] + _UPPER_ARM * _limb(swing - lean, spread, side)
        # A raised forearm bends inwards, a hanging one forwards.
        inwards = spread + flex if spread > 60 else spread - rng.uniform(0, 22)
        forwards = 0 if spread > 60 else flex
        joints[f'{name}_elbow'] = elbow
        joints[f'{name}_wrist'] = elbow + _LOWER_ARM * _limb(swing - lean + forwards, inwards, side)
        swing, spread, flex = (rng.uniform(*limits) for limits in leg)
        knee = joints[f'{name}_hip'] + _THIGH * _limb(swing, spread, side)
        ankle = knee + _SHANK * _limb(swing - flex, .5 * spread, side)
        joints[f'{name}_knee'], joints[f'{name}_ankle'] = knee, ankle
        joints[f'{name}_toe'] = ankle + pitch(np.array([.17, -.05, .03 * side]), np.clip(swing - flex, -60, 15))
    head_pitch, head_yaw = rng.normal(-lean * .4, 8), float(np.clip(rng.normal(0, 25), -60, 60))
    head_origin = joints['upper_neck'] + pitch(np.array([.02, HEAD_RADIUS * .95, 0]), -lean * .5)
    lift = np.array([0, .06 - min(point[1] for point in joints.values()), 0])  # feet have a thickness
    joints = {name: point + lift for name, point in joints.items()}
    return PersonPose(joints, head_origin + lift, head_pitch, head_yaw)


def _limb(swing: float, spread: float, side: int) -> np.ndarray:
    swing, spread = np.radians(swing), np.radians(spread)
    return np.array([np.sin(swing) * np.cos(spread), -np.cos(swing) * np.cos(spread), side * np.sin(spread)])
