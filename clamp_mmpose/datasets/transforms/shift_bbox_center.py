from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ShiftBBoxCenter(BaseTransform):
    """Moves the middle of the crop off the middle of the box, by parts of the box's longer side.

    Right after ``GetBBoxCenterScale``, whose padding does not count here. By default it moves down by 15 of 200, as TTP
    does "to avoid cropping limbs". MMPose's MPII dataset has moved its boxes already.

    shift: to the right and down.
    """

    def __init__(self, shift: Sequence[float] = (0, 0.075)) -> None:
        if np.shape(shift) != (2, ) or not np.isfinite(shift).all():
            raise ValueError(f'shift={shift!r} must be two numbers: to the right and down')
        self.shift = tuple(shift)

    def transform(self, results: dict) -> dict:
        if 'bbox_center' not in results:
            raise ValueError('ShiftBBoxCenter moves bbox_center, which is not there yet: put it after '
                             'GetBBoxCenterScale')
        boxes = results['bbox']  # (N, 4): x1, y1, x2, y2
        side = (boxes[:, 2:4] - boxes[:, :2]).max(axis=1, keepdims=True)
        moved = results['bbox_center'] + side * np.array(self.shift, dtype=boxes.dtype)
        return dict(results, bbox_center=moved)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(shift={self.shift})'
