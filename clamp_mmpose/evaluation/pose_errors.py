"""How far a predicted pose is from the labels, in pixels of the network's input."""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

# Coordinates go through MMPose's affine and back in float32; a label at x.5 must not round to the other side.
_TIE = 1e-2


@dataclasses.dataclass(frozen=True)
class PoseErrors:
    """N poses of K keypoints, arrays (N, K).

    ``distance`` in input pixels, NaN where there is no label or no prediction. ``labelled``, ``found``: whether there
    is a label, a prediction. ``exact``: whether there are both, and they are the same.
    """

    distance: np.ndarray
    labelled: np.ndarray
    found: np.ndarray
    exact: np.ndarray

    @property
    def counted(self) -> np.ndarray:
        """(N,): poses with a label."""
        return self.labelled.any(1)

    @property
    def complete(self) -> np.ndarray:
        """(N,): poses with a prediction for every label that there is."""
        return self.counted & (self.found | ~self.labelled).all(1)

    def mean_distance(self) -> float:
        """Over the keypoints of all complete poses."""
        return _mean(self.distance[self.complete])

    def keypoint_distance(self) -> list[float]:
        """The same of each keypoint."""
        return [_mean(column) for column in self.distance[self.complete].T]

    def accuracy(self, threshold: float, criterion: str = 'mean') -> float:
        """Share of poses that are complete and whose 'mean' or 'max' distance is at most ``threshold``."""
        reduce = dict(mean=np.mean, max=np.max)[criterion]
        near = [reduce(row[~np.isnan(row)]) <= threshold for row in self.distance[self.complete]]
        return _share(sum(near), self.counted.sum())

    def keypoint_accuracy(self, threshold: float) -> list[float]:
        """Of each keypoint, the share of labels with a prediction at most ``threshold`` away."""
        return self._keypoint_share(self.distance <= threshold)

    def complete_rate(self) -> float:
        """Share of poses that are complete."""
        return _share(self.complete.sum(), self.counted.sum())

    def keypoint_found_rate(self) -> list[float]:
        """Of each keypoint, the share of labels with a prediction."""
        return self._keypoint_share(self.found)

    def exact_rate(self) -> float:
        """Share of poses that are complete and exact in every keypoint."""
        return _share((self.counted & (self.exact | ~self.labelled).all(1)).sum(), self.counted.sum())

    def label_exact_rate(self) -> float:
        """Share of labels with an exact prediction."""
        return _share(self.exact.sum(), self.labelled.sum())

    def keypoint_exact_rate(self) -> list[float]:
        """The same of each keypoint."""
        return self._keypoint_share(self.exact)

    def _keypoint_share(self, right: np.ndarray) -> list[float]:
        return [*map(_share, (right & self.labelled).sum(0), self.labelled.sum(0))]

    @classmethod
    def join(cls, parts: Sequence[PoseErrors]) -> PoseErrors:
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    @classmethod
    def of_none(cls, num_keypoints: int) -> PoseErrors:
        """Of no pose at all."""
        none = np.zeros((0, num_keypoints))
        return cls(none, *[none.astype(bool)] * 3)


@dataclasses.dataclass(frozen=True)
class PixelGrid:
    """The coordinates that there can be, per axis: from 0 to ``last``, ``step`` apart; whole pixels by default."""

    last: np.ndarray
    step: np.ndarray = 1

    def same(self, predicted: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Whether ``predicted`` (..., 2), rounded to the grid, is one of its points nearest to ``label``."""
        on_grid = np.rint(predicted / self.step) * self.step
        return (np.abs(on_grid - np.clip(label, 0, self.last)) <= self.step / 2 + _TIE).all(-1)


def measure(predicted: np.ndarray, label: np.ndarray, labelled: np.ndarray, found: np.ndarray, *, grid: PixelGrid,
            l1: bool = False) -> PoseErrors:
    """``predicted``, ``label``: (N, K, 2) in input pixels; ``labelled``, ``found``: (N, K) bool."""
    found = found & np.isfinite(predicted).all(-1)
    both = labelled & found
    predicted = np.where(both[..., None], predicted, label)
    distance = np.linalg.norm(predicted - label, ord=1 if l1 else 2, axis=-1)
    return PoseErrors(np.where(both, distance, np.nan), labelled, found, both & grid.same(predicted, label))


def to_input_pixels(keypoints: np.ndarray, sample: Mapping) -> np.ndarray:
    """Keypoints (N, K, 2) of the image, in pixels of what the network has seen of it.

    The inverse of what MMPose's ``TopdownPoseEstimator`` does to its predictions.
    """
    center, scale, size = (
        np.asarray(sample[key], dtype=np.float64).reshape(-1)[:2]
        for key in ('input_center', 'input_scale', 'input_size'))
    return (np.asarray(keypoints, dtype=np.float64)[..., :2] - center + 0.5 * scale) / scale * size


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float('nan')


def _share(count: int, total: int) -> float:
    return float(count / total) if total else float('nan')
