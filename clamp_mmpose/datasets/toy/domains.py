"""Looks of the toy pictures: lighting, weather, sensor and texture. Geometry never changes."""
from __future__ import annotations

import cv2
import numpy as np

from .background import smooth_noise


def apply_domain(domain: str, image: np.ndarray, background: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Changes the look of a picture.

    image: (H, W, 3) uint8, RGB; background: (H, W) bool, where no body and no clutter is. Returns a new picture.
    """
    changed = DOMAINS[domain](image.astype(np.float32), background, rng)
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def _grain(rng, image, strength):
    """Independent noise of a standard deviation, in grey levels."""
    return np.float32(strength) * rng.standard_normal(image.shape, dtype=np.float32)


def _default(image, background, rng):
    """Daylight with a little sensor noise."""
    gain = rng.uniform(.9, 1.08)
    return image * gain + _grain(rng, image, 2.5)


def _night(image, background, rng):
    """Moonlight: dark, blue, low in contrast, with the noise of a high sensitivity."""
    grey = image.mean(axis=2, keepdims=True)
    dim = (.45 * image + .55 * grey) * np.float32([.62, .74, 1.]) * rng.uniform(.26, .42) + np.float32([6, 9, 18])
    return dim + _grain(rng, image, 6)


def _fog(image, background, rng):
    """Fog that is thicker towards the top of the picture."""
    height, width = image.shape[:2]
    density = np.linspace(rng.uniform(.7, .85), rng.uniform(.4, .55), height, dtype=np.float32)[:, None]
    density = np.clip(density + .08 * smooth_noise(rng, height, width, 48), 0, .92)[..., None]
    density = density * np.where(background, 1., .82)[..., None]  # what stands behind the bodies is deeper in the fog
    return image * (1 - density) + np.float32([212, 216, 220]) * density + _grain(rng, image, 2)


def _noise(image, background, rng):
    """A bad sensor: strong noise, wrong pixels, a colour cast."""
    cast = rng.uniform(.82, 1.18, 3)
    noisy = image * cast + _grain(rng, image, rng.uniform(22, 36))
    wrong = rng.random(image.shape[:2])
    noisy[wrong < .015] = 0
    noisy[wrong > .985] = 255
    return noisy


def _blur(image, background, rng):
    """Out of focus and shaken."""
    length, angle = int(rng.integers(3, 8)), rng.uniform(0, np.pi)
    kernel = np.zeros((9, 9), np.float32)
    reach = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    ends = [tuple(int(v) for v in np.rint(16 * (4 + sign * reach))) for sign in (-1, 1)]
    cv2.line(kernel, *ends, 1., 1, cv2.LINE_8, 4)
    shaken = cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    return cv2.GaussianBlur(shaken, (0, 0), rng.uniform(1.2, 2.2))


def _texture(image, background, rng):
    """Everything is made of cloth: a printed background, and a weave over the bodies."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(8, 20)
    u = np.cos(angle) * x + np.sin(angle) * y
    v = np.cos(angle) * y - np.sin(angle) * x
    prints = (np.sin(2 * np.pi * u / period), np.sin(2 * np.pi * u / period) * np.sin(2 * np.pi * v / period),
              np.hypot(u % period - period / 2, v % period - period / 2) - period * .3)
    cloth = np.where((prints[rng.integers(3)] > 0)[..., None], rng.uniform(40, 230, 3), rng.uniform(40, 230, 3))
    weave = 16 * np.sin(2 * np.pi * x / 3.1) * np.sin(2 * np.pi * y / 3.1) + 26 * smooth_noise(rng, height, width, 6)
    tint = image * rng.uniform(.75, 1.25, 3)
    return np.where(background[..., None], cloth, tint) + weave[..., None]


DOMAINS = dict(default=_default, night=_night, fog=_fog, noise=_noise, blur=_blur, texture=_texture)
