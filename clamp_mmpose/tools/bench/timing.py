"""Comparing calls on a machine whose speed wanders."""
from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

WARM_UP = 2


class Ratio(NamedTuple):
    """Median, least and greatest of the ratios of the rounds."""

    median: float
    low: float
    high: float


def interleave(calls: Mapping[str, Callable[[], None]],
               rounds: int,
               *,
               warm_up: int = WARM_UP,
               synchronize: Callable[[], None] | None = None) -> dict[str, list[float]]:
    """Seconds that each of ``calls`` took in each round, in which they take turns: A B, B A, A B ...

    ``synchronize`` waits for a device that computes on its own. What runs before the first round is not counted.
    """
    for call in calls.values():
        for _ in range(warm_up):
            call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(rounds):
        for name in (list(calls) if index % 2 == 0 else list(calls)[::-1]):
            if synchronize:
                synchronize()
            start = time.perf_counter()
            calls[name]()
            if synchronize:
                synchronize()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def compare(ours: Sequence[float], baseline: Sequence[float]) -> Ratio:
    """Ratio of two calls that ran in the same rounds."""
    ratios = [mine / other for mine, other in zip(ours, baseline)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))
