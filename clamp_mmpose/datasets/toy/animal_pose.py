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

    def head(self, points: np.ndarray) -> np.ndarray:
        """Head points (..., 3) -> body points."""
        return turn(pitch(points, self.head_pitch), self.head_yaw) + self.head_origin


def sample_animal_pose(rng: np.random.Generator, species: Species, yaw: float) -> AnimalPose:
    """Draws a gait, a neck and a head. ``yaw`` is that of the camera: heads do not turn away from it."""
    stance = _sample_stance(rng, species)
    height, (rump, _, chest) = stance.height, species.trunk
    sag = rng.uniform(-.03, .03)
    trunk = stance.place([[-.5 - .25 * rump, height + .05, 0], [-.42, height + .08, 0], [.0, height + .04 + sag, 0],
                          [.42, height + .08, 0], [.5 + .2 * chest, height + .06, 0]])
    neck, head_origin, head_pitch = _sample_neck(rng, species, stance)
    head_yaw = rng.uniform(25, 75) if rng.random() < .4 else rng.normal(0, 9)
    head_yaw = float(np.clip(head_yaw, -12 - yaw, 84 - yaw))
    tail_root = stance.place([-.5 - rump, height + .55 * rump, 0])
    return AnimalPose(trunk, neck, tail_root, _sample_legs(rng, species, stance), head_origin, head_pitch, head_yaw)


@dataclass(frozen=True)
class _Stance:
    """How the body stands. height: of the hip; tilt: of the body about the hip; stride: in lengths of a leg."""
    sitting: bool
    height: float
    tilt: float
    stride: float

    def place(self, points) -> np.ndarray:
        """Points of the level body -> points of the tilted one."""
        hip = np.array([-.5, self.height, 0.])
        return pitch(np.asarray(points, float) - hip, self.tilt) + hip


def _sample_stance(rng: np.random.Generator, species: Species) -> _Stance:
    front, hind = species.leg, species.leg * species.hind
    if species.sits and rng.random() < .22:
        return _Stance(True, .5 * hind + .3 * species.trunk[0], rng.uniform(32, 44), 0.)
    stride = rng.choice([.06, .2, .36], p=[.35, .4, .25]) * rng.uniform(.7, 1.2)  # standing, walking, running
    return _Stance(False, hind, np.degrees(np.arctan2(front - hind, 1.)) + rng.uniform(-4, 4), stride)


def _sample_neck(rng: np.random.Generator, species: Species, stance: _Stance) -> tuple:
    """The line of the neck (4, 3), where the skull is (3,), and the pitch of the head."""
    length, rest = species.neck
    chest = species.trunk[2]
    grazing = not stance.sitting and species.hoof and rng.random() < .18
    angle = rest + .6 * stance.tilt + rng.normal(0, 10)
    if grazing:
        angle = rng.uniform(-42, -22) if length < 1 else rng.uniform(-5, 20)
    bend = rng.normal(0, 8)
    base = stance.place([.5, stance.height + .35 * chest, 0])
    middle = base + .5 * length * direction(angle - bend)
    end = middle + .5 * length * direction(angle + bend)
    head_pitch = species.head_pitch + .35 * (angle - rest) + rng.normal(0, 9)
    if grazing:
        head_pitch = min(head_pitch, -38)
    neck = np.stack([stance.place([.42, stance.height + .1 * chest, 0]), base, middle, end])
    return neck, end + .55 * species.head * direction(angle), head_pitch


def _sample_legs(rng: np.random.Generator, species: Species, stance: _Stance) -> dict:
    phase = rng.uniform(0, 2 * np.pi)
    offsets = {(NEAR, 'front'): 0, (FAR, 'front'): np.pi, (NEAR, 'hind'): np.pi * rng.uniform(.8, 1.2),
               (FAR, 'hind'): np.pi * rng.uniform(-.2, .2)}
    legs = {}
    for (side, end), offset in offsets.items():
        step = stance.stride * species.leg * np.sin(phase + offset) + rng.normal(0, .03)
        raised = max(0., np.cos(phase + offset)) * stance.stride * species.leg * .55
        legs[side, end] = (_front_leg if end == 'front' else _hind_leg)(species, stance, side, step, raised)
    return legs


def _front_leg(species: Species, stance: _Stance, side: int, step: float, raised: float) -> np.ndarray:
    width, ground = .62 * species.trunk[2], .8 * species.limb[1]
    shoulder = stance.place([.42, stance.height - .05, side * width])
    length = (shoulder[1] - ground) * 1.03
    foot = np.array([shoulder[0] + step + (.05 if stance.sitting else 0), raised + ground, side * width])
    elbow, foot = two_link_joint(shoulder, foot, length * .47, length * .53, -1)
    return np.stack([shoulder, elbow, foot])


def _hind_leg(species: Species, stance: _Stance, side: int, step: float, raised: float) -> np.ndarray:
    width, ground = .62 * species.trunk[0], .8 * species.limb[1]
    hip = stance.place([-.46, stance.height - .02, side * width])
    length = species.leg * species.hind - ground
    foot = np.array([hip[0] + (.42 if stance.sitting else step - .06), raised + ground, side * width])
    hock = foot + length * .3 * direction(168 if stance.sitting else 104 + 60 * raised)
    knee, hock = two_link_joint(hip, hock, length * .385, length * .385, 1)
    return np.stack([hip, knee, hock, foot])
