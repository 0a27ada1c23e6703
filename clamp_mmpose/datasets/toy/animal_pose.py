"""Articulated poses of quadrupeds: where the joints of one animal are, in body units."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import direction, pitch, turn, two_link_joint
from .species import Species

NEAR, FAR = -1, 1  # signs of z: the body's sides in the canonical view, which faces right


@dataclass
class AnimalPose:
    """Joints of one animal: (N, 3) points in body units, the ground at y = 0.

    trunk: rump, hip, belly, chest; neck: from the chest to the skull; legs: side and end -> hip or shoulder, knee or
    elbow, (hock,) foot. ``head`` maps points of the head's own frame (x along the muzzle) to the body's.
    """
    trunk: np.ndarray
    neck: np.ndarray
    tail_root: np.ndarray
    legs: dict
    head_origin: np.ndarray
    head_pitch: float
    head_yaw: float
    body_pitch: float

    def head(self, points: np.ndarray) -> np.ndarray:
        """Head points (..., 3) -> body points."""
        return turn(pitch(points, self.head_pitch), self.head_yaw) + self.head_origin


def sample_animal_pose(rng: np.random.Generator, species: Species, yaw: float) -> AnimalPose:
    """Draws a gait, a neck and a head. ``yaw`` is that of the camera: heads do not turn away from it."""
    sitting = species.sits and rng.random() < .22
    stride = 0. if sitting else rng.choice([.06, .2, .36], p=[.35, .4, .25]) * rng.uniform(.7, 1.2)
    lift = rng.uniform(-4, 4)
    front, hind = species.leg, species.leg * species.hind
    if sitting:
        lift = rng.uniform(32, 44)
        hind = .5 * hind + species.trunk[0] * .3
    hip = np.array([-.5, hind, 0.])
    tilt = lift if sitting else np.degrees(np.arctan2(front - hind, 1.)) + lift
    rotate = lambda points: pitch(np.asarray(points, float) - hip, tilt) + hip  # noqa: E731
    rump, _, chest = species.trunk
    sag = rng.uniform(-.03, .03)
    trunk = rotate([[-.5 - .25 * rump, hind + .05, 0], [-.42, hind + .08, 0], [.0, hind + .04 + sag, 0],
                    [.42, hind + .08, 0], [.5 + .2 * chest, hind + .06, 0]])

    neck_length, neck_angle = species.neck
    grazing = not sitting and species.hoof and rng.random() < .18
    angle = neck_angle + .6 * tilt + rng.normal(0, 10)
    if grazing:
        angle = rng.uniform(-42, -22) if neck_length < 1 else rng.uniform(-5, 20)
    base = rotate([.5, hind + .35 * chest, 0])
    bend = rng.normal(0, 8)
    middle = base + neck_length * .5 * direction(angle - bend)
    end = middle + neck_length * .5 * direction(angle + bend)
    head_origin = end + species.head * .55 * direction(angle)
    head_pitch = species.head_pitch + .35 * (angle - neck_angle) + rng.normal(0, 9)
    if grazing:
        head_pitch = min(head_pitch, -38)
    to_viewer = rng.random() < .4
    head_yaw = rng.uniform(25, 75) if to_viewer else rng.normal(0, 9)
    head_yaw = float(np.clip(head_yaw, -12 - yaw, 84 - yaw))

    legs = {}
    phase = rng.uniform(0, 2 * np.pi)
    offsets = {(NEAR, 'front'): 0, (FAR, 'front'): np.pi, (NEAR, 'hind'): np.pi * rng.uniform(.8, 1.2),
               (FAR, 'hind'): np.pi * rng.uniform(-.2, .2)}
    for (side, end_name), offset in offsets.items():
        swing = phase + offset
        step = stride * species.leg * np.sin(swing) + rng.normal(0, .03)
        raised = max(0., np.cos(swing)) * stride * species.leg * .55
        make = _front_leg if end_name == 'front' else _hind_leg
        legs[side, end_name] = make(species, rotate, hind, side, step, raised, sitting)
    return AnimalPose(trunk, np.stack([rotate([.42, hind + .1 * chest, 0]), base, middle, end]),
                      rotate([-.5 - 1.0 * rump, hind + .55 * rump, 0]), legs, head_origin, head_pitch, head_yaw, tilt)


def _front_leg(species, rotate, hind, side, step, raised, sitting) -> np.ndarray:
    width = .62 * species.trunk[2]
    shoulder = rotate([.42, hind - .05, side * width])
    ground = species.limb[1] * .8
    length = (shoulder[1] - ground) * 1.03
    foot = np.array([shoulder[0] + step + (0 if not sitting else .05), raised + ground, side * width])
    elbow, foot = two_link_joint(shoulder, foot, length * .47, length * .53, -1)
    return np.stack([shoulder, elbow, foot])


def _hind_leg(species, rotate, hind, side, step, raised, sitting) -> np.ndarray:
    width = .62 * species.trunk[0]
    hip = rotate([-.46, hind - .02, side * width])
    ground = species.limb[1] * .8
    length = species.leg * species.hind - ground
    foot = np.array([hip[0] + step - .06, raised + ground, side * width])
    if sitting:
        foot[0] = hip[0] + .42
    hock = foot + length * .3 * direction(168 if sitting else 104 + 60 * raised)
    knee, hock = two_link_joint(hip, hock, length * .385, length * .385, 1)
    return np.stack([hip, knee, hock, foot])
