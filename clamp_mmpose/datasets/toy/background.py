"""Landscapes behind the bodies, clutter in front of them. Light comes from above: the mirrored picture is as likely."""
from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .canvas import Canvas
from .coat import shade


@dataclass(frozen=True)
class Landscape:
    """Colours (RGB) of one kind of place. ``background`` is AP-10K's number for it."""
    name: str
    background: int
    sky: tuple
    ground: tuple
    far: tuple
    plants: tuple


LANDSCAPES = (
    Landscape('meadow', 1, ((150, 196, 236), (214, 232, 244)), ((120, 170, 84), (88, 140, 62)), (116, 156, 116),
              (74, 124, 58)),
    Landscape('savanna', 1, ((244, 206, 150), (250, 230, 196)), ((214, 184, 112), (186, 150, 84)), (168, 146, 96),
              (140, 136, 66)),
    Landscape('forest', 2, ((168, 190, 172), (196, 212, 196)), ((104, 116, 72), (78, 92, 56)), (76, 104, 76),
              (48, 86, 52)),
    Landscape('rocks', 3, ((176, 190, 206), (216, 222, 228)), ((158, 148, 138), (126, 118, 110)), (128, 124, 128),
              (110, 112, 84)),
    Landscape('snow', 4, ((176, 196, 222), (222, 230, 240)), ((232, 236, 244), (204, 212, 226)), (176, 190, 208),
              (92, 120, 110)),
    Landscape('farm', 5, ((140, 188, 230), (206, 226, 240)), ((186, 164, 112), (150, 128, 84)), (136, 160, 108),
              (106, 140, 70)),
    Landscape('riverside', 6, ((160, 200, 226), (206, 226, 238)), ((124, 160, 150), (96, 138, 84)), (108, 148, 124),
              (80, 130, 76)),
    Landscape('desert', 7, ((190, 212, 232), (236, 232, 214)), ((232, 202, 146), (208, 170, 112)), (204, 170, 124),
              (132, 148, 96)),
)


def paint_landscape(canvas: Canvas, rng: np.random.Generator, landscape: Landscape, horizon: float) -> None:
    """Fills the canvas; ``horizon`` is the row, in pixels, where the ground begins."""
    height = len(canvas.color)
    row = int(np.clip(horizon * canvas.supersampling, 1, height - 1))
    canvas.color[:row] = _gradient(*landscape.sky, row)
    canvas.color[row:] = _gradient(*landscape.ground, height - row)
    for _ in range(rng.integers(0, 4)):
        _cloud(canvas, rng, horizon)
    for nearness in (.7, 1.):
        _hills(canvas, rng, horizon, shade(landscape.far, 1.25 - .25 * nearness), nearness)
    canvas.color[row:] = _gradient(*landscape.ground, height - row)
    _mottle(canvas, rng, rng.uniform(8, 22))
    for _ in range(rng.integers(0, 5)):
        base = np.array([rng.uniform(0, canvas.width), horizon + rng.uniform(-2, 14)])
        (_tree if rng.random() < .6 else _bush)(canvas, rng, base, rng.uniform(22, 60), landscape.plants)
    if landscape.name == 'farm' or rng.random() < .12:
        _fence(canvas, rng, horizon + rng.uniform(0, 16))
    for _ in range(rng.integers(10, 40)):
        base = np.array([rng.uniform(0, canvas.width), rng.uniform(horizon + 4, canvas.height)])
        if rng.random() < .8:
            _tuft(canvas, rng, base, rng.uniform(4, 9), shade(landscape.plants, rng.uniform(.8, 1.3)))
        else:
            _rock(canvas, rng, base, rng.uniform(3, 9))


def paint_clutter(canvas: Canvas, rng: np.random.Generator, landscape: Landscape, base: np.ndarray,
                  size: float) -> None:
    """One bush, rock or tuft of high grass that hides what is behind it. It is a part of its own."""
    part = canvas.new_part()
    kind = rng.integers(3)
    if kind == 0:
        _bush(canvas, rng, base, size, landscape.plants, part)
    elif kind == 1:
        _rock(canvas, rng, base, size * .6, part)
    else:
        for _ in range(5):
            offset = np.array([rng.uniform(-.4, .4) * size, 0])
            _tuft(canvas, rng, base + offset, size * .7, shade(landscape.plants, rng.uniform(.8, 1.3)), part)


def paint_shadow(canvas: Canvas, outline: np.ndarray) -> None:
    """Darkens the ground inside a polygon of (N, 2) pixels."""
    before = canvas.color.copy()
    canvas.polygon(outline, (30, 34, 40))
    cv2.addWeighted(canvas.color, .35, before, .65, 0, dst=canvas.color)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: int) -> np.ndarray:
    """Noise in [-1, 1] that changes over about ``cell`` pixels: (height, width) float32."""
    coarse = rng.uniform(-1, 1, (height // cell + 2, width // cell + 2)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _gradient(top: tuple, bottom: tuple, rows: int) -> np.ndarray:
    at = np.linspace(0, 1, rows)[:, None, None]
    return (np.asarray(top) * (1 - at) + np.asarray(bottom) * at).astype(np.uint8)


def _mottle(canvas: Canvas, rng: np.random.Generator, strength: float) -> None:
    height, width = canvas.color.shape[:2]
    noise = cv2.addWeighted(smooth_noise(rng, height, width, 64), .6 * strength,
                            smooth_noise(rng, height, width, 12), .4 * strength, 0)
    cv2.add(canvas.color, cv2.merge([noise] * 3), dst=canvas.color, dtype=cv2.CV_8U)


def _cloud(canvas, rng, horizon):
    center = np.array([rng.uniform(0, canvas.width), rng.uniform(.1, .8) * horizon])
    for _ in range(5):
        canvas.disc(center + rng.normal(0, 1, 2) * [12, 3], rng.uniform(5, 11), (246, 248, 250))


def _hills(canvas, rng, horizon, color, nearness):
    x = np.linspace(0, canvas.width, 25)
    turns = 2 * np.pi * x / canvas.width
    heights = sum(rng.uniform(2, 10) * np.sin(turns * k + rng.uniform(0, 2 * np.pi)) for k in (1, 2, 3))
    y = horizon - (1.3 - nearness) * 30 + heights
    canvas.polygon(np.concatenate([np.stack([x, y], 1), [[canvas.width, horizon + 2], [0, horizon + 2]]]), color)


def _tree(canvas, rng, base, size, color):
    canvas.line([base, base - [0, size]], shade((112, 84, 62), rng.uniform(.8, 1.1)), size * .14)
    conifer = rng.random() < .4
    tone = shade(color, rng.uniform(.75, 1.15))
    if conifer:
        for k in range(3):
            y = base[1] - size * (.3 + .3 * k)
            half = size * (.34 - .08 * k)
            corners = [[base[0] - half, y], [base[0] + half, y], [base[0], y - size * .5]]
            canvas.polygon(corners, shade(tone, .9 + .1 * k))
    else:
        for _ in range(6):
            center = base - [0, size] + rng.normal(0, .16, 2) * size
            canvas.disc(center, size * rng.uniform(.18, .3), shade(tone, rng.uniform(.9, 1.12)))


def _bush(canvas, rng, base, size, color, part=None):
    tone = shade(color, rng.uniform(.75, 1.15))
    for _ in range(7):
        offset = np.array([rng.normal(0, .32), -rng.uniform(.05, .4)]) * size
        canvas.disc(base + offset, size * rng.uniform(.16, .28), shade(tone, rng.uniform(.88, 1.12)), part)


def _rock(canvas, rng, base, size, part=None):
    angles = np.linspace(np.pi, 2 * np.pi, 7)
    radii = size * rng.uniform(.75, 1.15, 7)
    points = base + np.stack([1.2 * radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    tone = rng.uniform(.75, 1.1)
    canvas.polygon(points, shade((138, 134, 130), tone), part)
    canvas.polygon(base + (points - base) * [.75, .85] - [0, size * .1], shade((160, 156, 152), tone), part)


def _tuft(canvas, rng, base, size, color, part=None):
    for lean in rng.uniform(-.5, .5, 4):
        tip = base + size * np.array([lean, -1])
        canvas.polygon([base - [size * .1, 0], base - [-size * .1, 0], tip], color, part)


def _fence(canvas, rng, y):
    color = shade((170, 140, 104), rng.uniform(.8, 1.15))
    for rail in (4, 11):
        canvas.line([[-5, y - rail], [canvas.width + 5, y - rail]], color, 2.2)
    for x in np.arange(rng.uniform(-20, 0), canvas.width, rng.uniform(20, 30)):
        canvas.line([[x, y], [x, y - 16]], shade(color, .9), 3)
