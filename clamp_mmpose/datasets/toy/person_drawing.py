"""Draws one posed, dressed person and says where the joints are."""
from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .canvas import Canvas, Tube
from .coat import shade
from .geometry import View
from .person_head import PersonHead
from .person_pose import SIDES, PersonPose

_SKINS = ((248, 214, 186), (232, 186, 148), (202, 148, 106), (150, 100, 68), (104, 68, 48))
_HAIRS = ((42, 34, 32), (92, 58, 36), (156, 98, 48), (220, 184, 110), (150, 146, 146), (150, 60, 36))
_CLOTHES = ((204, 62, 58), (58, 104, 190), (70, 150, 90), (236, 190, 66), (240, 236, 230), (66, 62, 74), (150, 90, 170),
            (232, 132, 60), (110, 180, 200), (150, 116, 84), (236, 150, 170), (60, 84, 110))
_SHOES = ((50, 46, 48), (232, 230, 226), (150, 60, 50))


@dataclass(frozen=True)
class Outfit:
    """What a person wears. sleeves, legs: 0 bare, 1 half, 2 long."""
    skin: tuple
    hair: tuple
    shirt: tuple
    stripes: tuple | None
    trousers: tuple
    shoes: tuple
    sleeves: int
    legs: int
    skirt: bool
    long_hair: bool


def sample_outfit(rng: np.random.Generator) -> Outfit:
    def pick(colors):
        return colors[rng.integers(len(colors))]

    first, second = rng.choice(len(_CLOTHES), 2, replace=False)
    skirt = bool(rng.random() < .2)
    return Outfit(
        skin=pick(_SKINS), hair=pick(_HAIRS), shirt=_CLOTHES[first], trousers=_CLOTHES[second],
        stripes=pick(_CLOTHES) if rng.random() < .25 else None, shoes=pick(_SHOES),
        sleeves=int(rng.choice([0, 1, 2], p=[.15, .45, .4])),
        legs=0 if skirt else int(rng.choice([1, 2], p=[.35, .65])), skirt=skirt, long_hair=bool(rng.random() < .4))


@dataclass
class DrawnPerson:
    """points: name -> (2,) pixels of every joint and face point; owners: name -> the parts that show it; away: names of
    face points that are turned away; parts: the range of part numbers of the body; head_box: x1, y1, x2, y2."""
    points: dict
    owners: dict
    away: set
    parts: range
    head_box: np.ndarray


def draw_person(canvas: Canvas, outfit: Outfit, pose: PersonPose, view: View) -> DrawnPerson:
    """Paints limbs, trunk and head from the farthest to the nearest."""
    return _PersonPainter(canvas, outfit, pose, view).draw()


class _PersonPainter:
    """Draws one person, each limb as one part. ``points`` and ``owners`` fill up while it draws."""

    def __init__(self, canvas, outfit, pose, view):
        self.canvas, self.outfit, self.pose, self.view = canvas, outfit, pose, view
        self.line = (52, 42, 44)
        self.points = {name: view(point) for name, point in pose.joints.items()}
        self.owners = {name: set() for name in pose.joints}

    def draw(self) -> DrawnPerson:
        first = self.canvas.num_parts + 1
        head = PersonHead(self.canvas, self.view, self.pose, self.outfit)
        trunk = self._depth('pelvis', 'thorax')
        layers = [(trunk, self._trunk), (self._depth('thorax') + .08, head.draw)]
        legs = {side: self._depth(f'{side}_knee') for side in SIDES}
        for side in SIDES:
            layers.append((self._depth(f'{side}_elbow', f'{side}_wrist'), lambda side=side: self._arm(side)))
            # The shirt hangs over the trousers, unless a thigh is lifted towards the viewer.
            leg = legs[side] if legs[side] > trunk + .2 else min(legs[side], trunk - .01)
            layers.append((leg, lambda side=side: self._leg(side)))
        if self.outfit.skirt:
            layers.append((max(*legs.values(), trunk - .009), self._skirt))
        for _, paint in sorted(layers, key=lambda layer: layer[0]):
            paint()
        self.points.update(head.points)
        self.owners.update({name: set(head.parts) for name in head.points})
        self.owners['upper_neck'] |= head.parts
        return DrawnPerson(self.points, self.owners, head.away, range(first, self.canvas.num_parts + 1), head.box)

    def _depth(self, *names: str) -> float:
        return float(np.mean([self.view.depth(self.pose.joints[name]) for name in names]))

    def _light(self, side: str) -> float:
        """The side away from the viewer is in shadow: this helps to tell left from right."""
        return .72 if self._depth(f'{side}_shoulder') < self._depth('thorax') - .06 else 1.

    def _part(self, *joints: str) -> int:
        part = self.canvas.new_part()
        for joint in joints:
            self.owners[joint].add(part)
        return part

    def _limb(self, joints: tuple, radii: tuple, colors: tuple, light: float, cut: float) -> int:
        """A tube along joints, covered with colors[1] up to ``cut`` of its length and bare (colors[0]) after it."""
        part = self._part(*joints)
        tube = Tube([self.points[joint] for joint in joints], np.array(radii) * self.view.scale, steps=9)
        bare, cloth = (shade(color, light) for color in colors)
        self.canvas.tubes([tube], bare, part, outline=self.line)
        if cut > 0:
            last = max(2, round(cut * 8) + 1)
            with self.canvas.only(part):
                self.canvas.tubes([Tube(tube.centers[:last], tube.radii[:last] * 1.05)], cloth)
        return part

    def _arm(self, side: str) -> None:
        light, scale = self._light(side), self.view.scale
        joints = (f'{side}_shoulder', f'{side}_elbow', f'{side}_wrist')
        part = self._limb(joints, (.068, .054, .042), (self.outfit.skin, self.outfit.shirt), light,
                          (.15, .42, .92)[self.outfit.sleeves])
        self.canvas.disc(self.points[joints[2]], .05 * scale, shade(self.outfit.skin, light), part)

    def _leg(self, side: str) -> None:
        light, scale = self._light(side), self.view.scale
        hip, knee, ankle, toe = (f'{side}_{joint}' for joint in ('hip', 'knee', 'ankle', 'toe'))
        shoe = self._part(ankle)
        foot = Tube([self.points[ankle], self.points[toe]], np.array([.058, .05]) * scale)
        self.canvas.tubes([foot], shade(self.outfit.shoes, light), shoe, outline=self.line)
        cut = (.0, .55, .96)[self.outfit.legs]
        self._limb((hip, knee, ankle), (.098, .072, .05), (self.outfit.skin, self.outfit.trousers), light, cut)

    def _trunk(self) -> None:
        outfit, scale = self.outfit, self.view.scale
        lit = [f'{side}_{joint}' for side in SIDES for joint in ('shoulder', 'hip') if self._light(side) == 1]
        part = self._part('pelvis', 'thorax', 'upper_neck', *lit)  # it hides the joints of its far side
        neck = Tube([self.points['thorax'], self.points['upper_neck']], np.array([.065, .06]) * scale)
        self.canvas.tubes([neck], outfit.skin, part, outline=self.line)
        self._hull([('left_hip', .1), ('right_hip', .1), ('pelvis', .12)], outfit.trousers, part)
        shirt = [('left_shoulder', .072), ('right_shoulder', .072), ('thorax', .1), ('pelvis', .125)]
        outline = self._hull(shirt, outfit.shirt, part)
        if outfit.stripes is not None:
            self._stripes(outline, part)

    def _skirt(self) -> None:
        part = self._part('left_hip', 'right_hip')
        self._hull([('left_hip', .105), ('right_hip', .105), ('left_knee', .08), ('right_knee', .08)],
                   self.outfit.trousers, part)

    def _hull(self, circles: list, color: tuple, part: int) -> np.ndarray:
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        for grow, paint in ((.8, self.line), (0, color)):
            points = np.concatenate([self.points[joint] + (radius * self.view.scale + grow) * ring
                                     for joint, radius in circles])
            hull = cv2.convexHull(points.astype(np.float32))[:, 0]
            self.canvas.polygon(hull, paint, part)
        return hull

    def _stripes(self, outline: np.ndarray, part: int) -> None:
        before = self.canvas.color.copy()
        top, bottom = self.points['thorax'], self.points['pelvis']
        across = np.array([bottom[1] - top[1], top[0] - bottom[0]])
        for at in np.linspace(-.1, 1.1, 6):
            center = top + at * (bottom - top)
            self.canvas.line([center - across, center + across], self.outfit.stripes, .045 * self.view.scale)
        inside = np.zeros(self.canvas.owner.shape, np.uint8)
        cv2.fillConvexPoly(inside, np.rint(self.canvas.scaled(outline)).astype(np.int32), 1)
        cv2.copyTo(before, 1 - inside, self.canvas.color)
