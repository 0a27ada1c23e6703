"""Things that stand in front of people: each is one part on the canvas and hides what is behind it."""
from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .coat import shade

_COLORS = ((168, 122, 78), (140, 140, 146), (176, 96, 74), (84, 128, 84), (92, 112, 150), (206, 186, 150))


def paint_obstacle(canvas: Canvas, rng: np.random.Generator, box: tuple) -> None:
    """Fills the box x1, y1, x2, y2 with a wall, a crate, a table or a hedge, as its shape allows."""
    x1, y1, x2, y2 = box
    color = _COLORS[rng.integers(len(_COLORS))]
    part = canvas.new_part()
    wide = x2 - x1 > y2 - y1
    painters = (_wall, _planks, _hedge, _table) if wide else (_wall, _planks, _column)
    painters[rng.integers(len(painters))](canvas, rng, (x1, y1, x2, y2), color, part)


def paint_balloon(canvas: Canvas, rng: np.random.Generator, center: np.ndarray, radius: float) -> None:
    """A round thing in front of a body: it hides heads and hands, which walls do not."""
    color, part = _COLORS[rng.integers(len(_COLORS))], canvas.new_part()
    canvas.line([center, center - [0, -2.2 * radius]], (90, 86, 84), 1.2, part)
    canvas.disc(center, radius + .8, shade(color, .5), part)
    canvas.disc(center, radius, shade(color, 1.2), part)
    canvas.disc(center - [0, .4 * radius], .35 * radius, shade(color, 1.45), part)


def _rectangle(x1, y1, x2, y2) -> np.ndarray:
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], float)


def _framed(canvas, box, color, part):
    x1, y1, x2, y2 = box
    canvas.polygon(_rectangle(x1 - .8, y1 - .8, x2 + .8, y2 + .8), shade(color, .5), part)
    canvas.polygon(_rectangle(*box), color, part)


def _wall(canvas, rng, box, color, part):
    _framed(canvas, box, color, part)
    x1, y1, x2, y2 = box
    rows = np.arange(y1, y2, 9)
    for i, y in enumerate(rows):
        canvas.line([[x1, y], [x2, y]], shade(color, .8), .9)
        for x in np.arange(x1 + 9 * (i % 2), x2, 18):
            canvas.line([[x, y], [x, min(y + 9, y2)]], shade(color, .8), .9)


def _planks(canvas, rng, box, color, part):
    _framed(canvas, box, color, part)
    x1, y1, x2, y2 = box
    for x in np.arange(x1 + 10, x2, 10):
        canvas.line([[x, y1], [x, y2]], shade(color, .7), 1.2)
    canvas.polygon(_rectangle(x1, y1 + 3, x2, y1 + 8), shade(color, 1.15))


def _hedge(canvas, rng, box, color, part):
    x1, y1, x2, y2 = box
    green = shade((74, 124, 58), rng.uniform(.8, 1.3))
    canvas.polygon(_rectangle(x1, y1 + 5, x2, y2), green, part)
    for x in np.arange(x1, x2 + 1, 7):
        canvas.disc([x, y1 + 6 + rng.uniform(-1, 2)], 7, shade(green, rng.uniform(.9, 1.1)), part)
    for _ in range(int((x2 - x1) * (y2 - y1) / 150)):
        canvas.disc([rng.uniform(x1, x2), rng.uniform(y1 + 6, y2)], 3, shade(green, rng.uniform(.8, 1.2)))


def _table(canvas, rng, box, color, part):
    x1, y1, x2, y2 = box
    _framed(canvas, (x1 + 4, y1, x2 - 4, y2), shade(color, .72), part)
    _framed(canvas, (x1, y1, x2, y1 + 7), color, part)


def _column(canvas, rng, box, color, part):
    x1, y1, x2, y2 = box
    _framed(canvas, box, color, part)
    for x in np.linspace(x1, x2, 5)[1:-1]:
        canvas.line([[x, y1 + 8], [x, y2]], shade(color, .8), 1.5)
    _framed(canvas, (x1 - 3, y1, x2 + 3, y1 + 7), shade(color, 1.15), part)
