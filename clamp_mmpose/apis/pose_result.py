from __future__ import annotations

import dataclasses

import numpy as np

from .boxes import Boxes
from .frames import Frame


@dataclasses.dataclass(frozen=True)
class PoseResult:
    """What was found in one image, or in one frame of a video.

    Coordinates are pixels of the image as OpenCV shows it (turned upright where its EXIF data say so); (0, 0) is the
    centre of the pixel at the top left. N animals or people have K keypoints: ``keypoints`` (N, K, 2), ``scores``
    (N, K), ``boxes.xyxy`` (N, 4). A keypoint that a caption does not have is NaN and scores 0; ``captions`` has one of
    each pose, None from models that write none. ``heatmaps`` (N, K, h, w) lie over the crops that the network has seen,
    None unless the model's ``test_cfg`` has ``output_heatmaps``. Where ``error`` says why the image could not be read,
    N is 0.
    """

    frame: Frame
    boxes: Boxes
    keypoints: np.ndarray
    scores: np.ndarray
    keypoint_names: tuple[str, ...]
    error: str | None = None
    captions: tuple[str | None, ...] = ()
    heatmaps: np.ndarray | None = None

    @property
    def path(self) -> str:
        """The file."""
        return self.frame.input.path

    @property
    def image(self) -> np.ndarray | None:
        """(H, W, 3), BGR."""
        return self.frame.image

    @property
    def pose_scores(self) -> np.ndarray:
        """(N,), as MMPose's ``CocoMetric`` ranks them: the box's score times the mean of the keypoints' above 0.2."""
        counted = self.scores > 0.2
        total = np.where(counted, self.scores, 0).sum(1)
        return self.boxes.scores * total / np.maximum(counted.sum(1), 1)

    def __len__(self) -> int:
        return len(self.keypoints)
