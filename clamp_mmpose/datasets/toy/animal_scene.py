"""Composes one picture with one to three animals, and its annotations."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .animal_drawing import draw_animal
from .animal_pose import AnimalPose, sample_animal_pose
from .background import LANDSCAPES, paint_clutter, paint_landscape, paint_shadow
from .canvas import Canvas
from .figure import visible_box
from .geometry import View
from .keypoint_formats import AP10K_CATEGORY_IDS, AP10K_SKELETON
from .scene import Scene, box_overlap
from .species import SPECIES, Species

IMAGE_SIZES = ((256, 192), (288, 216), (320, 240), (256, 256))
_MAX_OVERLAP = .4  # of the smaller of two boxes
_MIN_KEYPOINTS = 4  # an animal that shows fewer is not annotated


@dataclass
class Placement:
    """One animal that will be drawn: who, how, where. box: x1, y1, x2, y2, roughly."""
    species: Species
    pose: AnimalPose
    view: View
    box: np.ndarray


def draw_animal_scene(layout: np.random.Generator, paint: np.random.Generator, species: Species) -> Scene:
    """``layout`` decides what stands where and in which pose, ``paint`` how it all is coloured."""
    width, height = IMAGE_SIZES[layout.integers(len(IMAGE_SIZES))]
    horizon = layout.uniform(.25, .55) * height
    placements = _place_animals(layout, species, width, height, horizon)
    canvas = Canvas(width, height)
    landscape = LANDSCAPES[paint.integers(len(LANDSCAPES))]
    paint_landscape(canvas, paint, landscape, horizon)
    figures = []
    for placement in placements:
        coat = placement.species.coats[paint.integers(len(placement.species.coats))]
        paint_shadow(canvas, placement.view(_footprint(placement)))
        figures.append(draw_animal(canvas, paint, placement.species, coat, placement.pose, placement.view))
    for _ in range(layout.choice([0, 1, 2], p=[.55, .3, .15])):
        base = np.array([layout.uniform(0, width), layout.uniform(.75, 1.05) * height])
        paint_clutter(canvas, paint, landscape, base, layout.uniform(14, 34))
    annotations = [_annotate(canvas, placement, figure) for placement, figure in zip(placements, figures)]
    return Scene(canvas.image(), canvas.background(), landscape.background,
                 [annotation for annotation in annotations if annotation is not None])


def _place_animals(rng, species, width, height, horizon) -> list:
    count = rng.choice([1, 2, 3], p=[.68, .22, .1])
    placements = []
    for k in range(count):
        kind = species if k == 0 or rng.random() < .6 else SPECIES[rng.integers(len(SPECIES))]
        target = rng.uniform(.55, .92) if count == 1 else rng.uniform(.45, .65)
        for _ in range(8):
            placement = _place(rng, kind, target, width, height, horizon)
            if all(box_overlap(placement.box, other.box) < _MAX_OVERLAP for other in placements):
                placements.append(placement)
                break
    return sorted(placements, key=lambda placement: placement.view.origin[1])  # the nearest is drawn last


def _place(rng, species, target, width, height, horizon) -> Placement:
    yaw = float(np.clip(rng.normal(5, 15), -24, 40))
    facing = int(rng.choice([-1, 1]))
    pose = sample_animal_pose(rng, species, yaw)
    x1, y1, x2, y2 = _extent(species, pose, View(yaw=yaw, facing=facing, scale=1., origin=(0, 0)))
    scale = min(1., species.size) * target * min(width / (x2 - x1), height / (y2 - y1) * 1.02, 1.1 * height / (x2 - x1))
    box = np.array([x1, y1, x2, y2]) * scale
    room = 4 if rng.random() < .85 else -.2 * (box[2] - box[0])  # some are cut off by the border
    low, high = room - box[0], width - room - box[2]
    x = rng.uniform(min(low, high), max(low, high))
    y = rng.uniform(min(max(horizon, 4 - box[1]), height - 5), height - 4)
    view = View(yaw=yaw, facing=facing, scale=scale, origin=(x, y))
    return Placement(species, pose, view, box + np.array([x, y, x, y]))


def _extent(species: Species, pose: AnimalPose, view: View) -> np.ndarray:
    """The rough box x1, y1, x2, y2 of a pose, tails and ears included."""
    ears = pose.head(np.array([[-.2, species.head + species.ears[1] * .6, 0], [species.muzzle[0] + .1, 0, 0]]))
    groups = ((pose.trunk, max(species.trunk)), (pose.neck, species.neck_radius[1]), (ears, .04),
              (np.concatenate(list(pose.legs.values())), species.limb[1]),
              ((pose.tail_root - [.3 * species.tail[1], 0, 0])[None], .05))
    low = np.min([view(points).min(axis=0) - radius for points, radius in groups], axis=0)
    high = np.max([view(points).max(axis=0) + radius for points, radius in groups], axis=0)
    return np.array([*low, *high])


def _footprint(placement: Placement) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([.75 * np.cos(angles), np.zeros(24), .45 * np.sin(angles)], axis=1)


def _annotate(canvas: Canvas, placement: Placement, figure) -> dict | None:
    flags = figure.visibility(canvas, AP10K_SKELETON)
    if np.count_nonzero(flags) < _MIN_KEYPOINTS:
        return None
    box = visible_box(canvas, figure.parts)
    points = np.where(flags[:, None] > 0, np.rint(figure.keypoints), 0)
    keypoints = np.concatenate([points, flags[:, None]], axis=1).astype(int).ravel().tolist()
    return dict(
        category_id=AP10K_CATEGORY_IDS[placement.species.name], bbox=list(box), area=box[2] * box[3], iscrowd=0,
        num_keypoints=int(np.count_nonzero(flags)), keypoints=keypoints)
