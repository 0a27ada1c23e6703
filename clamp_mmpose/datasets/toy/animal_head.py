"""Heads of quadrupeds: skull, muzzle, eyes, ears, horns, trunk and mane."""
from __future__ import annotations

import numpy as np

from .animal_pose import AnimalPose
from .canvas import Canvas, Tube
from .coat import shade
from .geometry import View
from .head_ornaments import EARS, HORNS, ear_tubes, horn_tubes
from .species import BLACK, CREAM, WHITE, Coat, Species

# An eye whose direction points less than this towards the viewer is hidden.
_EYE_HIDDEN_BELOW = .12
# Sine of the turn from which a head counts as looking at the viewer.
_FRONTAL = .75


class HeadPainter:
    """Draws the head of one animal. Afterwards: ``keypoints`` name -> pixel, ``away`` the names of hidden eyes,
    ``parts`` the numbers of everything drawn."""

    def __init__(self, canvas: Canvas, view: View, species: Species, coat: Coat, pose: AnimalPose):
        self.canvas, self.view, self.species, self.coat, self.pose = canvas, view, species, coat, pose
        self.radius = species.head
        self.tip = np.array([species.muzzle[0], -.28 * self.radius, 0])
        self.face = coat.face or coat.base
        self.line = shade(coat.base, .45)
        self.parts, self.keypoints, self.away = set(), {}, set()
        self.center_depth = self._depth([0, 0, 0])
        self.turned = self._depth([1, 0, 0]) - self.center_depth  # 1 looks at the viewer, 0 is a profile

    def draw(self) -> None:
        if self.species.mane == 'lion':
            self._lion_mane()
        for side in (-1, 1):
            if self._is_behind(side):
                self._ear(side)
                self._horn(side)
        self._skull()
        self._features()
        for side in (-1, 1):
            if not self._is_behind(side):
                self._ear(side)
                self._horn(side)

    def _at(self, points) -> np.ndarray:
        return self.view(self.pose.head(np.asarray(points, float)))

    def _depth(self, point) -> float:
        return float(self.view.depth(self.pose.head(np.asarray(point, float))))

    def _is_behind(self, side: int) -> bool:
        return self._depth([0, 0, side]) < self.center_depth or self.turned > _FRONTAL

    def _part(self) -> int:
        part = self.canvas.new_part()
        self.parts.add(part)
        return part

    def _tube(self, points, radii, color, *, outline=True, steps=8) -> int:
        part = self._part()
        tube = Tube(self._at(points), np.asarray(radii) * self.view.scale, steps=steps)
        self.canvas.tubes([tube], color, part, outline=self.line if outline else None)
        return part

    def _skull(self) -> None:
        tip, r = self.species.muzzle[1], self.radius
        part = self._part()
        skull = Tube(self._at([[-.1 * r, 0, 0], [.1 * r, 0, 0]]), np.array([r, r]) * self.view.scale)
        muzzle = Tube(self._at([[.2 * r, -.08 * r, 0], self.tip]), np.array([.72 * r, tip]) * self.view.scale)
        self.canvas.tubes([skull, muzzle], self.face, part, outline=self.line)
        if self.species.pattern == 'stripes':
            with self.canvas.only(part):
                for x in (-.5, -.1, .3):
                    points = self._at([[x * r, .95 * r, 0], [x * r - .1 * r, .35 * r, -.6 * r]])
                    self.canvas.line(points, self.coat.mark, r * .16 * self.view.scale)
        if self.coat.muzzle is not None or self.turned > .4:
            color = self.coat.muzzle or shade(self.face, 1.12)
            with self.canvas.only(part):
                points = np.array([self.tip * [.72, 1, 1], self.tip])
                self.canvas.tubes([Tube(self._at(points), np.array([.85, 1.02]) * tip * self.view.scale)], color)

    def _features(self) -> None:
        self._eyes()
        if self.species.horns == 'rhino':
            length, r = self.species.muzzle[0], self.radius
            for x, size in ((.8, .34), (.45, .18)):
                self._tube([[length * x, .25 * r, 0], [length * x + .1, .3 * r + size, 0]], [.3 * size, .02], CREAM)
        self._mouth()
        if 'trunk' in self.species.features:
            self._trunk()
        else:
            self._nose()

    def _eyes(self) -> None:
        for side, name in ((-1, 'near_eye'), (1, 'far_eye')):
            self.keypoints[name] = self._at(self._eye(side))
            if not self._eye_faces_viewer(side):
                self.away.add(name)
                continue
            if 'eye mask' in self.species.features:
                center = self._at(self._eye(side) * [1, .8, 1])
                self.canvas.disc(center, .38 * self.radius * self.view.scale, BLACK, self._part())
            self._paint_eye(self.keypoints[name])

    def _nose(self) -> None:
        tip, scale, part = self.species.muzzle[1], self.view.scale, self._part()
        nose = self.tip + np.array([.78 * tip, .2 * tip, 0])
        self.keypoints['nose'] = center = self._at(nose)
        if 'snout' not in self.species.features:
            self.canvas.disc(center, max(1.4, .5 * tip * scale), self.coat.nose, part)
            return
        self.canvas.disc(center, .95 * tip * scale, self.line, part)
        self.canvas.disc(center, .95 * tip * scale - .8, self.coat.nose, part)
        for side in (-1, 1):
            nostril = self._at(nose + np.array([.05, .02, .35 * tip * side]))
            self.canvas.disc(nostril, .2 * tip * scale, self.line, part)

    def _eye(self, side: int) -> np.ndarray:
        around, up = np.radians(self.species.eye_angle), np.radians(22)
        return self.radius * np.array([np.cos(around) * np.cos(up), np.sin(up), side * np.sin(around) * np.cos(up)])

    def _eye_faces_viewer(self, side: int) -> bool:
        return (self._depth(self._eye(side)) - self.center_depth) / self.radius > _EYE_HIDDEN_BELOW

    def _paint_eye(self, point: np.ndarray) -> None:
        size, part = max(2.1, .23 * self.radius * self.view.scale), self._part()
        self.canvas.disc(point, size, BLACK, part)
        self.canvas.disc(point, size * .8, WHITE, part)
        self.canvas.disc(point - [0, -.1 * size], size * .55, BLACK, part)
        self.canvas.disc(point - [0, .15 * size], size * .2, WHITE, part)

    def _mouth(self) -> None:
        (length, tip), r = self.species.muzzle, self.radius
        if self.turned < .5:
            points = [[length + .6 * tip, -.28 * r - .3 * tip, 0], [length - .1 * r, -.28 * r - .55 * tip, -.2 * tip],
                      [.55 * length, -.25 * r - .2 * tip, -.3 * tip]]
            self.canvas.line(self._at(points), self.line, 1.)

    def _trunk(self) -> None:
        root = self.pose.head(self.tip)
        reach = self.pose.head(np.array([.14, 0, 0])) - self.pose.head_origin
        swing = 1.6 + self.pose.head_yaw / 45
        hang = root + np.outer([0, 1, 1.2, swing], reach) - np.outer([0, .16, .45, .72], [0, 1, 0])
        part = self._part()
        tube = Tube(self.view(hang), np.array([.15, .115, .09, .075]) * self.view.scale, steps=9)
        self.canvas.tubes([tube], self.face, part, outline=self.line)
        for along in (.3, .45, .6, .75):
            self.canvas.line([tube.surface(along, -.7), tube.surface(along, .7)], shade(self.face, .75), 1.)
        self.keypoints['nose'] = tube.centers[-1]

    def _lion_mane(self) -> None:
        center = self._at([-.3 * self.radius, -.15 * self.radius, 0])
        angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
        hair = self.coat.hair
        for grow, color, inner in ((1., self.line, 1.55), (0., hair, 1.55), (0., shade(hair, 1.35), 1.2)):
            radii = self.radius * self.view.scale * np.where(np.arange(36) % 2, inner, inner + .28) + grow
            points = center + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            self.canvas.polygon(points, color, self._part())

    def _ear(self, side: int) -> None:
        kind, length = self.species.ears
        color = shade(self.coat.ears or self.face, EARS[kind].light)
        if self._is_behind(side) and self.turned <= _FRONTAL:
            color = shade(color, .78)
        for points, radii, is_inner in ear_tubes(kind, length, self.radius, side):
            inner = shade(EARS[kind].inner_color or color, .8)
            self._tube(points, radii, inner if is_inner else color, outline=not is_inner)

    def _horn(self, side: int) -> None:
        if self.species.horns in HORNS:
            for points, radii, color in horn_tubes(self.species.horns, self.radius, self.tip, side):
                self._tube(points, radii, color or self.face)
