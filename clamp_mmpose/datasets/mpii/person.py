from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_JOINTS = 16
# From neck to top, the head's two joints span this share of its box's diagonal: MPII made them from the box.
_NECK_TO_TOP = 0.8
_UPPER_NECK, _HEAD_TOP = 8, 9


@dataclass(frozen=True)
class MpiiPerson:
    """One person of MPII, in the file's own pixels: the top left one is (1, 1).

    joints: (16, 2), NaN where not annotated. marked: (16,) of {0, 1}, ``is_visible``; None where the file does not say.
    center, scale: where the person stands, and the height over 200 pixels; None where the file does not say. head_box:
    (corner, x and y), or None. video: which video the image is a frame of, or None.
    """
    image: str
    joints: np.ndarray
    marked: np.ndarray | None
    center: tuple[float, float] | None
    scale: float | None
    head_box: np.ndarray | None = None
    video: str | None = None

    @property
    def annotated(self) -> np.ndarray:
        return np.isfinite(self.joints).all(axis=1)

    @property
    def is_complete(self) -> bool:
        return bool(self.annotated.all())

    @property
    def is_all_visible(self) -> bool:
        return self.is_complete and bool(self.marked.all())

    def place(self) -> tuple[list[float], float]:
        """``center`` and ``scale``, from the joints where the file lacks one of them."""
        if self.center is not None and self.scale:
            return [*map(float, self.center)], float(self.scale)
        low, high = np.nanmin(self.joints, axis=0), np.nanmax(self.joints, axis=0)
        return ((low + high) / 2).round(2).tolist(), round(float((high - low).max()) * 1.25 / 200, 6)

    def head(self) -> np.ndarray:
        """The corners of the head's box. Without one in the file, a box with its centre and its diagonal.

        PCKh takes the length of the diagonal alone, and that is exact.
        """
        if self.head_box is not None:
            return self.head_box
        neck, top = self.joints[_UPPER_NECK], self.joints[_HEAD_TOP]
        half = np.abs(top - neck) / 2 / _NECK_TO_TOP
        return np.stack([(neck + top) / 2 - half, (neck + top) / 2 + half])

    def record(self) -> dict:
        """The person in MMPose's MPII layout, with ``is_visible`` and ``video`` where they are known."""
        center, scale = self.place()
        joints = np.where(self.annotated[:, None], self.joints, -1)
        record = dict(joints_vis=self.annotated.astype(int).tolist(), joints=joints.tolist(), image=self.image,
                      scale=scale, center=center)
        if self.marked is not None:
            record['is_visible'] = self.marked.astype(int).tolist()
        return record if self.video is None else dict(record, video=self.video)
