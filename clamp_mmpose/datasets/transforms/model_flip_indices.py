from __future__ import annotations

from collections.abc import Sequence

from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ModelFlipIndices(BaseTransform):
    """Flips at test time as the model was trained to, where the dataset has another skeleton.

    MMPose's heads take the order of the mirrored keypoints from the dataset. A model that is tested on another
    dataset's keypoints needs its own: put this last before ``PackPoseInputs``.

    flip_indices: for each keypoint of the model, the index of its mirror image.
    """

    def __init__(self, flip_indices: Sequence[int]) -> None:
        self.flip_indices = list(flip_indices)
        if sorted(self.flip_indices) != list(range(len(self.flip_indices))) or any(
                self.flip_indices[other] != index for index, other in enumerate(self.flip_indices)):
            raise ValueError(f'flip_indices={self.flip_indices} must pair each keypoint with its mirror image, or with '
                             'itself')

    def transform(self, results: dict) -> dict:
        return dict(results, flip_indices=list(self.flip_indices))

    def __repr__(self) -> str:
        return f'{type(self).__name__}(flip_indices={self.flip_indices})'
