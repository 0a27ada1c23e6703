"""Fur patterns: spots, stripes, patches and the like, painted on the tubes of a body."""
from __future__ import annotations

import numpy as np

from .canvas import Canvas, Tube
from .species import Coat


def shade(color: tuple, factor: float) -> tuple:
    """A darker (< 1) or lighter (> 1) colour."""
    return tuple(int(min(255, round(channel * factor))) for channel in color)


def paint_pattern(pattern: str, canvas: Canvas, part: int, tube: Tube, coat: Coat, rng: np.random.Generator,
                  dorsal: int) -> None:
    """Paints one part with a pattern. ``dorsal`` is the sign of the tube's side that is the animal's back."""
    painter = _PATTERNS.get(pattern)
    if painter is not None:
        with canvas.only(part):
            painter(canvas, tube, coat, rng, dorsal)


def paint_light(canvas: Canvas, part: int, tube: Tube, color: tuple) -> None:
    """A soft highlight along the upper side and a shadow along the lower one: light comes from straight above."""
    with canvas.only(part):
        for offset, size, factor in ((.5, .62, .86), (-.38, .55, 1.1)):
            shifted = tube.centers + offset * tube.radii[:, None] * [0, 1]
            canvas.tubes([Tube(shifted, tube.radii * size)], shade(color, factor))


def _blob(center: np.ndarray, radius: float, rng: np.random.Generator, dorsal: int, corners=9, rough=.3) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, 2 * np.pi)
    radii = radius * rng.uniform(1 - rough, 1 + rough, corners)
    return center + radii[:, None] * np.stack([dorsal * np.cos(angles), np.sin(angles)], axis=1)


def _mean_radius(tube: Tube) -> float:
    return float(tube.radii.mean())


def _scatter(tube: Tube, spacing: float, rng: np.random.Generator):
    """Jittered grid of (along, towards the back in [-1, 1], mean radius), about ``spacing`` radii between points."""
    radius = _mean_radius(tube)
    columns = max(2, round(tube.length / (spacing * radius)))
    rows = max(2, round(2 / spacing))
    for i in range(columns):
        for j in range(rows):
            along = (i + .5 + rng.uniform(-.28, .28)) / columns
            back = ((j + .5 * (i % 2) + .25 + rng.uniform(-.2, .2)) / rows) * 2 - 1
            yield along, back, radius


def _spots(canvas, tube, coat, rng, dorsal):
    for along, back, radius in _scatter(tube, .42, rng):
        if back > -.35:
            canvas.disc(tube.surface(along, back * dorsal), radius * rng.uniform(.06, .1), coat.mark)


def _rosettes(canvas, tube, coat, rng, dorsal):
    for along, back, radius in _scatter(tube, .46, rng):
        size = radius * rng.uniform(.14, .19)
        center = tube.surface(along, back * dorsal)
        canvas.polygon(_blob(center, size, rng, dorsal), coat.mark)
        if back > -.5:
            canvas.disc(center, size * .45, shade(coat.base, .8))


def _stripes(canvas, tube, coat, rng, dorsal, *, end=-.75, spacing=.4, width=.15):
    radius = _mean_radius(tube)
    count = max(3, round(tube.length / (spacing * radius)))
    for i in range(count):
        along = (i + .5 + rng.uniform(-.15, .15)) / count
        lean = rng.uniform(-.25, .25) / count
        reach = end + rng.uniform(-.15, .3)
        at = np.linspace(1.05, reach, 5)
        points = [tube.surface(along + lean * k, back * dorsal) for k, back in enumerate(at)]
        widths = radius * width * np.array([.6, .55, .5, .4, .15])
        canvas.tubes([Tube(points, widths)], coat.mark)


def _tabby(canvas, tube, coat, rng, dorsal):
    _stripes(canvas, tube, coat, rng, dorsal, end=.0, spacing=.55, width=.16)


def _patches(canvas, tube, coat, rng, dorsal):
    radius = _mean_radius(tube)
    for _ in range(rng.integers(3, 6)):
        center = tube.surface(rng.uniform(0, 1), rng.uniform(-.6, .9) * dorsal)
        canvas.polygon(_blob(center, radius * rng.uniform(.35, .6), rng, dorsal), coat.mark)


def _giraffe(canvas, tube, coat, rng, dorsal):
    for along, back, radius in _scatter(tube, .55, rng):
        center = tube.surface(along, back * dorsal)
        canvas.polygon(_blob(center, radius * .27, rng, dorsal, corners=6, rough=.15), coat.mark)


def _belly(canvas, tube, coat, rng, dorsal):
    points = [tube.surface(along, -.8 * dorsal) for along in np.linspace(.12, 1, 7)]
    canvas.tubes([Tube(points, np.full(7, _mean_radius(tube) * .42))], coat.belly or coat.base)


def _flank(canvas, tube, coat, rng, dorsal):
    _belly(canvas, tube, coat, rng, dorsal)
    points = [tube.surface(along, -.36 * dorsal) for along in np.linspace(.2, .85, 6)]
    canvas.tubes([Tube(points, np.full(6, _mean_radius(tube) * .1))], coat.mark)


def _saddle(canvas, tube, coat, rng, dorsal):
    _belly(canvas, tube, coat, rng, dorsal)
    points = [tube.surface(along, .85 * dorsal) for along in np.linspace(0, 1, 7)]
    canvas.tubes([Tube(points, np.full(7, _mean_radius(tube) * .4))], coat.mark)


def _spotted_deer(canvas, tube, coat, rng, dorsal):
    _belly(canvas, tube, coat, rng, dorsal)
    _spots(canvas, tube, coat, rng, dorsal)


def _panda(canvas, tube, coat, rng, dorsal):
    points = [tube.surface(.86, across) for across in (-1, 0, 1)]
    canvas.tubes([Tube(points, np.full(3, _mean_radius(tube) * .36))], coat.mark)


def _tiger_or_zebra(canvas, tube, coat, rng, dorsal):
    if coat.belly is not None:
        _belly(canvas, tube, coat, rng, dorsal)
    _stripes(canvas, tube, coat, rng, dorsal)


_PATTERNS = dict(
    spots=_spotted_deer, rosettes=_rosettes, stripes=_tiger_or_zebra, tabby=_tabby, patches=_patches, giraffe=_giraffe,
    belly=_belly, flank=_flank, saddle=_saddle, panda=_panda)
