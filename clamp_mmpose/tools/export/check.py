"""onnxruntime's answers beside MMPose's own."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmpose.codecs.base import BaseKeypointCodec
from torch import Tensor

from .subject import Prediction

PIXELS = 0.01  # a keypoint that MMPose's codec decides may not be further from it than this
# Of the highest value. Two correct computations in single precision differ by some 1e-6; DarkPose blurs noise of single
# cells away and then divides by second derivatives, which are next to nothing on a flat map, so this is well above.
_NOISE = 1e-4


class Difference(NamedTuple):
    """Largest differences over all pictures of a check.

    ``heatmaps`` is absolute, ``highest`` the highest absolute value of the heatmaps; ``keypoints`` in pixels of the
    input, over those that the codec decides: where noise of ``_NOISE`` moves what the codec itself makes of a map, such
    as one with two maxima, the place says nothing, and they are counted as ``undecided`` of ``total``.
    """

    heatmaps: float
    highest: float
    keypoints: float = 0.0
    undecided: int = 0
    total: int = 0

    def passes(self, atol: float) -> bool:
        # Heatmaps of some codecs go up to 255, and single precision is relative.
        return self.heatmaps <= atol * max(1.0, self.highest) and self.keypoints <= PIXELS

    @classmethod
    def largest(cls, differences: Sequence[Difference]) -> Difference:
        """Of several checks."""
        columns = list(zip(*differences))
        return cls(*(_worst(column) for column in columns[:3]), *map(sum, columns[3:]))


class Session:
    """A graph in onnxruntime, on the CPU, with as many threads as PyTorch has."""

    def __init__(self, path: Path) -> None:
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # what fails is raised
        self._session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])

    def run(self, images: list[Tensor]) -> dict[str, np.ndarray]:
        """Outputs by name for pictures (3, H, W) in uint8, BGR."""
        batch = np.stack([image.flip(0).numpy() for image in images]).astype(np.float32)
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, {'image': batch})))


def compare(outputs: dict[str, np.ndarray], expected: Prediction, codec: BaseKeypointCodec) -> Difference:
    """What the graph gives beside what MMPose predicted.

    The keypoints are compared with what the codec makes of the graph's own heatmaps, so that a difference is one of the
    decoding.
    """
    heatmaps = outputs['heatmaps']
    if heatmaps.shape != expected.heatmaps.shape:
        raise ValueError(f'the graph gives heatmaps {heatmaps.shape}, the model {expected.heatmaps.shape}')
    difference = Difference(_worst(np.abs(heatmaps - expected.heatmaps)), _worst(np.abs(expected.heatmaps)))
    if 'keypoints' not in outputs:
        return difference
    decided = np.stack([_is_decided(codec, maps) for maps in heatmaps])
    places, scores = zip(*(codec.decode(maps.copy()) for maps in heatmaps))
    distances = np.linalg.norm(outputs['keypoints'] - np.concatenate(places), axis=-1)
    off = np.abs(outputs['scores'] - np.concatenate(scores))
    return difference._replace(
        heatmaps=_worst([difference.heatmaps, _worst(off)]),
        keypoints=_worst(distances[decided]),
        undecided=int((~decided).sum()),
        total=decided.size)


def _is_decided(codec: BaseKeypointCodec, heatmaps: np.ndarray) -> np.ndarray:
    """(K,) bool: whether noise that is too small to mean anything leaves the codec's keypoints where they are."""
    rng = np.random.default_rng(0)
    places = codec.decode(heatmaps.copy())[0][0]
    decided = np.ones(len(places), bool)
    for _ in range(4):
        noise = rng.uniform(-_NOISE, _NOISE, heatmaps.shape).astype(np.float32)
        moved = codec.decode(heatmaps + noise * np.abs(heatmaps).max())[0][0]
        decided &= np.linalg.norm(moved - places, axis=-1) <= PIXELS
    return decided


def _worst(values: Sequence[float] | np.ndarray) -> float:
    """The largest; infinite where one is not a number."""
    values = np.asarray(values, dtype=np.float64)
    if not values.size:
        return 0.0
    return float(values.max()) if np.isfinite(values).all() else float('inf')
