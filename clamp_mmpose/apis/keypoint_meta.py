"""What MMPose wants to know of a set of keypoints, made from their names."""
from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from ..models.text_encoders import mirror_indices


def meta_of_names(names: Sequence[str]) -> dict:
    """A ``dataset_meta`` without a skeleton, in which 'left eye' and 'right eye' are each other's mirror image."""
    colours = matplotlib.colormaps['hsv']([index / len(names) for index in range(len(names))])
    mirrored = mirror_indices(names) if can_be_mirrored(names) else range(len(names))
    keypoints = {
        index: dict(
            name=name,
            id=index,
            color=[int(255 * value) for value in colour[:3]],
            type='',
            swap=names[other] if other != index else '')
        for index, (name, colour, other) in enumerate(zip(names, colours, mirrored))
    }
    return parse_pose_metainfo(
        dict(
            dataset_name='prompts',
            keypoint_info=keypoints,
            skeleton_info={},
            joint_weights=[1.0] * len(names),
            sigmas=[0.05] * len(names)))


def can_be_mirrored(names: Sequence[str]) -> bool:
    """Whether every name of a side has its counterpart, so that a flipped image can be asked for it."""
    try:
        mirror_indices(names)
    except ValueError:
        return False
    return True
