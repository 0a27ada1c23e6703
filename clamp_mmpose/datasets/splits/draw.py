from __future__ import annotations

import hashlib
from collections.abc import Iterable


def draw(ids: Iterable, count: int, *, seed: int, protocol: str) -> list:
    """``count`` of the ids at random.

    Each id has its place in a queue by the hash of (protocol, seed, id): the draw is the same on every machine, for any
    order of the ids and any version of Python or NumPy, and a larger draw contains a smaller one of the same seed.
    """
    def place(key):
        return hashlib.sha256(f'{protocol}/{seed}/{key}'.encode()).digest()

    return sorted(ids, key=lambda key: (place(key), str(key)))[:count]
