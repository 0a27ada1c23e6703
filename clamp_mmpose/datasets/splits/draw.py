from __future__ import annotations

import hashlib
from collections.abc import Iterable


def draw(ids: Iterable, count: int, *, seed: int, protocol: str) -> list:
    """``count`` of the ids at random.

    Each id has its place in a queue by the hash of (protocol, seed, id): the draw is the same on every machine, for any
    order of the ids and any version of Python or NumPy, and a larger draw contains a smaller one of the same seed.
    """
    return sorted(ids, key=lambda key: (place_of(key, seed=seed, protocol=protocol), str(key)))[:count]


def place_of(key, *, seed: int, protocol: str) -> bytes:
    """Where an id stands in the queue: bytes that are evenly spread."""
    return hashlib.sha256(f'{protocol}/{seed}/{key}'.encode()).digest()
