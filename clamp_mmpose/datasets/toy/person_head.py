"""Heads of people: a ball with a face on one side and hair on the other."""
from __future__ import annotations

import numpy as np

from .canvas import Canvas, Tube
from .coat import shade
from .geometry import View
from .person_pose import HEAD_RADIUS, PersonPose

# Points of the face in radii of the head: x out of the face, y up, z to the left.
_FACE = dict(nose=(1.04, -.12, 0), left_eye=(.86, .12, .42), right_eye=(.86, .12, -.42), left_ear=(.0, -.02, 1.),
             right_ear=(.0, -.02, -1.))
# A point is turned away when its direction points less than this towards the viewer.
_AWAY_BELOW = dict(nose=.0, left_eye=.12, right_eye=.12, left_ear=-.25, right_ear=-.25)


class PersonHead:
    """Draws one head. ``points``: name -> pixel of face points and top; ``away``: what cannot be seen; ``parts``."""

    def __init__(self, canvas: Canvas, view: View, pose: PersonPose, outfit):
        self.canvas, self.view, self.pose, self.outfit = canvas, view, pose, outfit
        self.radius = HEAD_RADIUS * view.scale
        self.center = view(pose.head_origin)
        half = self.radius * np.array([.75, 1.])
        self.box = np.concatenate([self.center - half, self.center + half])
        self.parts = set()
        self.points = {name: self._at(place) for name, place in _FACE.items()}
        self.points['head_top'] = self._at((0, 1., 0))
        self.away = {name for name, limit in _AWAY_BELOW.items() if self._towards(_FACE[name]) < limit}

    def draw(self) -> None:
        part, line = self._part(), (52, 42, 44)
        behind = self._towards((-1, 0, 0)) < .2
        if self.outfit.long_hair and behind:
            self._long_hair(line)
        for ear in ('left_ear', 'right_ear'):
            if ear not in self.away:
                self.canvas.disc(self.points[ear], .27 * self.radius, line, part)
                self.canvas.disc(self.points[ear], .27 * self.radius - .6, shade(self.outfit.skin, .9), part)
        self.canvas.disc(self.center, self.radius + .8, line, part)
        self.canvas.disc(self.center, self.radius, self.outfit.skin, part)
        self._hair()
        for ear in ('left_ear', 'right_ear'):
            if self._towards(_FACE[ear]) > .35:
                self.canvas.disc(self.points[ear], .24 * self.radius, shade(self.outfit.skin, .86), part)
        self._face(part)
        if self.outfit.long_hair and not behind:
            self._long_hair(line)

    def _part(self) -> int:
        part = self.canvas.new_part()
        self.parts.add(part)
        return part

    def _at(self, place: tuple) -> np.ndarray:
        return self.view(self.pose.head(HEAD_RADIUS * np.asarray(place, float)))

    def _towards(self, place: tuple) -> float:
        """How much a direction of the head's frame points towards the viewer, in [-1, 1]."""
        point = np.asarray(place, float) / np.linalg.norm(place)
        origin = self.view.depth(self.pose.head_origin)
        return float(self.view.depth(self.pose.head(point)) - origin)

    def _hair(self) -> None:
        """Paints the top and the back of the ball, found pixel by pixel."""
        step = self.canvas.supersampling
        x0, y0 = np.floor(self.center - self.radius).astype(int) * step
        size = int(2 * self.radius + 3) * step
        xs, ys = (np.arange(start, start + size) for start in (x0, y0))
        xs, ys = xs[(xs >= 0) & (xs < self.canvas.color.shape[1])], ys[(ys >= 0) & (ys < self.canvas.color.shape[0])]
        if not len(xs) or not len(ys):
            return
        center = self.canvas.scaled(self.center)
        side = self.view.facing * (xs[None] - center[0]) / (self.radius * step)
        up = -(ys[:, None] - center[1]) / (self.radius * step)
        side, up = np.broadcast_arrays(side, up)
        ball = side**2 + up**2 <= 1
        seen = np.stack([side, up, np.sqrt(np.clip(1 - side**2 - up**2, 0, None))], axis=-1)
        origin = self.view.camera(self.pose.head_origin)
        axes = np.stack([self.view.camera(self.pose.head(axis)) - origin for axis in np.eye(3)])
        forward, top, _ = np.moveaxis(seen @ axes.T, -1, 0)
        hair = ball & ((forward < -.12) | (top - .35 * forward > .38) | ((top > .0) & (forward < .12)))
        patch = self.canvas.color[ys[0]:ys[-1] + 1, xs[0]:xs[-1] + 1]
        patch[hair] = self.outfit.hair

    def _face(self, part: int) -> None:
        for eye in ('left_eye', 'right_eye'):
            if eye not in self.away:
                self.canvas.disc(self.points[eye], max(1.5, .19 * self.radius), (250, 250, 250), part)
                self.canvas.disc(self.points[eye], max(1.1, .12 * self.radius), (40, 34, 36), part)
        if 'nose' not in self.away:
            self.canvas.disc(self.points['nose'], max(1.2, .15 * self.radius), shade(self.outfit.skin, .78), part)
        if self._towards((1, 0, 0)) > .1:
            mouth = [self._at((.84, -.42, z)) for z in (-.28, 0, .28)]
            mouth[1] = mouth[1] + [0, .12 * self.radius]
            self.canvas.line(mouth, (170, 70, 70), max(1., .08 * self.radius), part)

    def _long_hair(self, line: tuple) -> None:
        path = [self._at(place) for place in ((-.45, .2, 0), (-.75, -.6, 0), (-.7, -1.4, 0))]
        tube = Tube(path, np.array([.85, .8, .6]) * self.radius, steps=6)
        self.canvas.tubes([tube], self.outfit.hair, self._part(), outline=line)
