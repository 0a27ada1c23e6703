"""Draws one posed quadruped and says where its keypoints are."""
from __future__ import annotations

import numpy as np

from .animal_head import HeadPainter
from .animal_pose import FAR, NEAR, AnimalPose
from .canvas import Canvas, Tube
from .coat import paint_light, paint_pattern, shade
from .figure import Figure
from .geometry import View
from .keypoint_formats import AP10K_KEYPOINTS
from .species import BLACK, PINK, Coat, Species
from .tails import TAILS, tail_points

_SIDE_NAMES = {NEAR: 'near', FAR: 'far'}


def draw_animal(canvas: Canvas, rng: np.random.Generator, species: Species, coat: Coat, pose: AnimalPose,
                view: View) -> Figure:
    """Paints far legs, tail, trunk, near legs and head, in this order."""
    return _AnimalPainter(canvas, rng, species, coat, pose, view).draw()


class _AnimalPainter:
    """Draws one animal, each limb as one part. ``points`` and ``owners`` fill up while it draws."""

    def __init__(self, canvas, rng, species, coat, pose, view):
        self.canvas, self.rng, self.species, self.coat, self.pose, self.view = canvas, rng, species, coat, pose, view
        self.dorsal = -view.facing  # the side of a tube that is the animal's back, see Tube.surface
        self.line = shade(coat.base, .45)
        self.points, self.owners = {}, {}

    def draw(self) -> Figure:
        first = self.canvas.num_parts + 1
        for end in ('hind', 'front'):
            self._leg(FAR, end)
        if self.view.yaw >= 0:
            self._tail()
        self._trunk()
        if self.view.yaw < 0:
            self._tail()
        for end in ('hind', 'front'):
            self._leg(NEAR, end)
        head = HeadPainter(self.canvas, self.view, self.species, self.coat, self.pose)
        head.draw()
        for name, point in head.keypoints.items():
            self._mark(name, point, head.parts)
        self.owners['neck'] |= head.parts if self.species.mane == 'lion' else set()
        return self._figure(range(first, self.canvas.num_parts + 1), head.away)

    def _mark(self, name: str, point: np.ndarray, parts: set) -> None:
        self.points[name] = np.asarray(point, float)
        self.owners[name] = set(parts)

    def _trunk(self) -> None:
        rump, belly, chest = self.species.trunk
        scale, part = self.view.scale, self.canvas.new_part()
        radii = scale * np.array([.8 * rump, rump, belly, chest, .85 * chest])
        trunk = Tube(self.view(self.pose.trunk), radii, steps=12)
        low, high = self.species.neck_radius
        neck = Tube(self.view(self.pose.neck), np.array([low, low, .5 * (low + high), high]) * scale, steps=10)
        if self.species.mane in ('flowing', 'stiff'):
            self._mane(neck)
        wool = self._wool(trunk) if self.species.pattern == 'wool' else []
        self.canvas.tubes([trunk, neck, *wool], self.coat.base, part, outline=self.line)
        paint_light(self.canvas, part, trunk, self.coat.base)
        for tube in (trunk, neck):
            paint_pattern(self.species.pattern, self.canvas, part, tube, self.coat, self.rng, self.dorsal)
        if 'udder' in self.species.features:
            udder = trunk.surface(.25, -1.02 * self.dorsal)
            self.canvas.disc(udder, .12 * scale, PINK, part)
        self._mark('neck', self.view(self.pose.neck[1]), {part})
        self._mark('root_of_tail', self.view(self.pose.tail_root), {part})
        self.trunk_part = part

    def _wool(self, trunk: Tube) -> list:
        bumps = []
        for along in np.linspace(.02, .98, 9):
            for across in (-.9, .9):
                center = trunk.surface(along, across)
                bumps.append(Tube([center, center], np.full(2, .32 * trunk.radii.mean())))
        return bumps

    def _mane(self, neck: Tube) -> None:
        height = .35 if self.species.mane == 'stiff' else .2
        points = [neck.surface(along, (1 + height * .3) * self.dorsal) for along in np.linspace(.12, 1, 8)]
        radii = neck.radii.mean() * (height + .12 * (np.arange(8) % 2))
        self.canvas.tubes([Tube(points, radii)], self.coat.hair, self.canvas.new_part(), outline=self.line)

    def _leg(self, side: int, end: str) -> None:
        points, scale = self.view(self.pose.legs[side, end]), self.view.scale
        top, bottom = self.species.limb
        radii = [top, .6 * top + .4 * bottom, bottom]
        if end == 'hind':
            radii = [1.15 * top, .85 * top, 1.1 * bottom, bottom]
        # The far legs are in shadow: with the height of the feet, this is what tells left from right.
        light = 1. if side == NEAR else .6
        color, part = shade(self.coat.legs or self.coat.base, light), self.canvas.new_part()
        leg = Tube(points, np.array(radii) * scale, steps=4 * len(points) - 3)
        toes = points[-1] + scale * bottom * np.array([.9 * self.view.facing, .12])
        paw = Tube([points[-1], toes], np.array([1.05, .85]) * bottom * scale)
        self.canvas.tubes([leg] if self.species.hoof else [leg, paw], color, part, outline=shade(self.line, light))
        if self.coat.socks is not None:
            with self.canvas.only(part):
                lower = Tube(leg.centers[4:], leg.radii[4:] * 1.1)
                self.canvas.tubes([lower] if self.species.hoof else [lower, paw], shade(self.coat.socks, light))
        if self.species.pattern in ('stripes', 'rosettes'):
            coat = Coat(color, mark=shade(self.coat.mark, light))
            paint_pattern(self.species.pattern, self.canvas, part, leg, coat, self.rng, self.dorsal)
        if self.species.hoof:
            hoof = Tube(points[-1] + np.outer([-.3, .3], [0, bottom * scale]), bottom * scale * np.array([1., 1.25]))
            self.canvas.tubes([hoof], shade(BLACK, light), part)
        joints = ('shoulder', 'elbow', 'front_paw') if end == 'front' else ('hip', 'knee', 'back_paw')
        for joint, index in zip(joints, (0, 1, -1)):
            self._mark(f'{_SIDE_NAMES[side]}_{joint}', points[index], {part})

    def _tail(self) -> None:
        kind, length = self.species.tail
        tail, scale, part = TAILS[kind], self.view.scale, self.canvas.new_part()
        root = self.pose.tail_root + np.array([.1, 0, 0])
        points = tail_points(tail, root, length, self.rng.uniform(-.25, .25))
        tube = Tube(self.view(points), np.array(tail.radii) * scale, steps=13)
        color = getattr(self.coat, tail.color or 'base')
        self.canvas.tubes([tube], color, part, outline=self.line)
        if tail.tip:
            end = Tube(tube.centers[-3:], np.array([1., 1.2, .7]) * tail.tip_radius * scale)
            self.canvas.tubes([end], getattr(self.coat, tail.tip), part)
        if 'ringed tail' in self.species.features:
            with self.canvas.only(part):
                for along in (.25, .45, .65, .85):
                    ends = [tube.surface(along, -1), tube.surface(along, 1)]
                    self.canvas.line(ends, self.coat.mark, .07 * scale)
        self.tail_part = part

    def _figure(self, parts: range, away: set) -> Figure:
        self.owners['root_of_tail'].add(self.tail_part)
        for joint in ('near_shoulder', 'near_hip'):
            self.owners[joint].add(self.trunk_part)
        # An animal that faces left shows its left side.
        sides = dict(right='near', left='far') if self.view.facing > 0 else dict(left='near', right='far')
        names = []
        for name in AP10K_KEYPOINTS:
            side, _, rest = name.partition('_')
            names.append(f'{sides[side]}_{rest}' if side in sides else name)
        return Figure(np.stack([self.points[name] for name in names]), np.array([name in away for name in names]),
                      [self.owners[name] for name in names], parts)
