"""Composes one picture with one to three people, many of them cut off or half hidden, and its annotations."""
from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .background import LANDSCAPES, paint_landscape, paint_shadow
from .canvas import Canvas
from .figure import Figure, visible_box, visible_mask
from .geometry import View
from .keypoint_formats import COCO_KEYPOINTS, COCO_SKELETON, MPII_KEYPOINTS, MPII_SKELETON
from .obstacles import paint_balloon, paint_obstacle
from .person_drawing import DrawnPerson, draw_person, sample_outfit
from .person_pose import HEAD_RADIUS, HEIGHT, POSTURES, PersonPose, Posture, sample_person_pose
from .scene import Scene, box_overlap

IMAGE_SIZES = ((192, 256), (216, 288), (256, 256), (288, 216))
_MAX_OVERLAP = .35  # of the smaller of two boxes
_MIN_KEYPOINTS = 3  # a person who shows fewer is not annotated


@dataclass
class Placement:
    """One person who will be drawn. box: x1, y1, x2, y2 of the whole body, roughly; it may leave the picture."""
    pose: PersonPose
    view: View
    box: np.ndarray


def draw_person_scene(layout: np.random.Generator, paint: np.random.Generator, posture: Posture) -> Scene:
    """``layout`` decides what stands where and in which pose, ``paint`` how it all is coloured."""
    width, height = IMAGE_SIZES[layout.integers(len(IMAGE_SIZES))]
    horizon = layout.uniform(.3, .6) * height
    placements = _place_people(layout, posture, width, height)
    canvas = Canvas(width, height)
    landscape = LANDSCAPES[paint.integers(len(LANDSCAPES))]
    paint_landscape(canvas, paint, landscape, horizon)
    people = []
    for placement in placements:
        paint_shadow(canvas, placement.view(_footprint()))
        people.append(draw_person(canvas, sample_outfit(paint), placement.pose, placement.view))
        if layout.random() < .4:
            _hide(canvas, layout, paint, placement.box)
    annotations = [_annotate(canvas, placement, person) for placement, person in zip(placements, people)]
    return Scene(canvas.image(), canvas.background(), landscape.background,
                 [annotation for annotation in annotations if annotation is not None])


def _place_people(rng, posture, width, height) -> list:
    count = rng.choice([1, 2, 3], p=[.6, .28, .12])
    placements = []
    for k in range(count):
        kind = posture if k == 0 else POSTURES[rng.integers(len(POSTURES))]
        target = rng.uniform(.6, .95) if count == 1 else rng.uniform(.5, .8)
        for _ in range(8):
            placement = _place(rng, kind, target, width, height)
            if all(box_overlap(placement.box, other.box) < _MAX_OVERLAP for other in placements):
                placements.append(placement)
                break
    return sorted(placements, key=lambda placement: placement.view.origin[1])  # the nearest is drawn last


def _place(rng, posture, target, width, height) -> Placement:
    yaw, facing = float(rng.uniform(-90, 90)), int(rng.choice([-1, 1]))
    pose = sample_person_pose(rng, posture)
    extent = _extent(pose, View(yaw=yaw, facing=facing, scale=1., origin=(0, 0)))
    size = extent[2:] - extent[:2]
    # The share of the body that stays in the picture along x and y, and the end that is cut off.
    share = np.ones(2)
    if rng.random() < .45:
        side = rng.choice(2, p=[.3, .7])
        share[side] = rng.uniform(.4, .85)
        if rng.random() < .2:
            share[1 - side] = rng.uniform(.6, .9)
    scale = target * float(np.min(np.array([width, height]) / (size * share)))
    box = extent * scale
    origin = np.zeros(2)
    for axis, length in enumerate((width, height)):
        inside = share[axis] * (box[2 + axis] - box[axis])
        if share[axis] == 1:
            start = rng.uniform(2, max(2.1, length - inside - 2))
        elif rng.random() < (.5, .25)[axis]:  # the left end, or the head, which is seldom the one cut off
            start = inside - (box[2 + axis] - box[axis])
        else:
            start = length - inside
        origin[axis] = start - box[axis]
    view = View(yaw=yaw, facing=facing, scale=scale, origin=tuple(origin))
    return Placement(pose, view, box + np.concatenate([origin, origin]))


def _extent(pose: PersonPose, view: View) -> np.ndarray:
    points = np.concatenate([view(np.stack(list(pose.joints.values()))), view(pose.head_origin)[None]])
    radii = np.array([.07] * len(pose.joints) + [1.1 * HEAD_RADIUS])[:, None]
    return np.concatenate([(points - radii).min(axis=0), (points + radii).max(axis=0)])


def _hide(canvas, layout, paint, box) -> None:
    """Puts something in front of the lower body, of one side, or of one place."""
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    kind = layout.choice(3, p=[.5, .25, .25])
    if kind == 0:
        top = y1 + layout.uniform(.35, .8) * height
        spread = layout.uniform(.1, .5, 2) * width + 6
        paint_obstacle(canvas, paint, (x1 - spread[0], top, x2 + spread[1], y2 + layout.uniform(2, 8)))
    elif kind == 1:
        middle, half = x1 + layout.uniform(.1, .9) * width, layout.uniform(.12, .25) * width + 4
        paint_obstacle(canvas, paint, (middle - half, y1 - layout.uniform(0, .3) * height, middle + half, y2 + 4))
    else:
        center = np.array([x1 + layout.uniform(.1, .9) * width, y1 + layout.uniform(.0, .6) * height])
        paint_balloon(canvas, paint, center, layout.uniform(.1, .2) * height)


def _footprint() -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([.32 * np.cos(angles), np.zeros(24), .32 * np.sin(angles)], axis=1)


def _annotate(canvas: Canvas, placement: Placement, person: DrawnPerson) -> dict | None:
    """COCO's and MPII's description of one person; pixels count from 0 in both."""
    coco, coco_flags = _keypoints(canvas, placement, person, COCO_KEYPOINTS, COCO_SKELETON)
    mpii, mpii_flags = _keypoints(canvas, placement, person, MPII_KEYPOINTS, MPII_SKELETON)
    if min(np.count_nonzero(coco_flags), np.count_nonzero(mpii_flags)) < _MIN_KEYPOINTS:
        return None
    polygons, area = _outline(visible_mask(canvas, person.parts), canvas.supersampling)
    return dict(
        bbox=list(visible_box(canvas, person.parts)), area=area, segmentation=polygons, coco_keypoints=coco,
        coco_flags=coco_flags, mpii_keypoints=mpii, mpii_flags=mpii_flags, head_box=person.head_box,
        standing_height=HEIGHT * placement.view.scale)


def _keypoints(canvas, placement, person, names, skeleton) -> tuple:
    """Whole pixels (K, 2) and flags (K,) in the order of ``names``."""
    swap = {'left': 'right', 'right': 'left'} if placement.view.facing < 0 else {}
    drawn = []
    for name in names:
        side, _, rest = name.partition('_')
        drawn.append(f'{swap[side]}_{rest}' if side in swap else name)
    figure = Figure(np.stack([person.points[name] for name in drawn]),
                    np.array([name in person.away for name in drawn]), [person.owners[name] for name in drawn],
                    person.parts)
    return np.rint(figure.keypoints).astype(int), figure.visibility(canvas, skeleton)


def _outline(mask: np.ndarray, supersampling: int) -> tuple:
    """Polygons [x, y, x, y, ...] around a mask of the enlarged canvas, and its area, in final pixels."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygons = []
    for contour in contours:
        points = cv2.approxPolyDP(contour, 1.5, True)[:, 0] / supersampling
        if len(points) >= 3:
            polygons.append(np.round(points, 1).ravel().tolist())
    return polygons, float(np.count_nonzero(mask)) / supersampling**2
