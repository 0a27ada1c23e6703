"""What MMPose wants to know of a set of keypoints, made from their names."""
from __future__ import annotations

import re
from collections.abc import Sequence

import matplotlib
from mmpose.datasets.datasets.utils import parse_pose_metainfo

_OTHER_SIDE = dict(left='right', right='left')


def meta_of_names(names: Sequence[str]) -> dict:
    """A ``dataset_meta`` without a skeleton, in which 'left eye' and 'right eye' are each other's mirror image."""
    colours = matplotlib.colormaps['hsv']([index / len(names) for index in range(len(names))])
    keypoints = {
        index: dict(
            name=name,
            id=index,
            color=[int(255 * value) for value in colour[:3]],
            type='',
            swap=mirrored(name) if mirrored(name) in names and mirrored(name) != name else '')
        for index, (name, colour) in enumerate(zip(names, colours))
    }
    return parse_pose_metainfo(
        dict(dataset_name='prompts', keypoint_info=keypoints, skeleton_info={}, joint_weights=[1.0] * len(names),
             sigmas=[0.05] * len(names)))


def can_be_mirrored(names: Sequence[str]) -> bool:
    """Whether every name of a side has its counterpart, so that a flipped image can be asked for it."""
    return all(mirrored(name) in names for name in names)


def mirrored(name: str) -> str:
    """'left front paw' -> 'right front paw'; a name without a side stays."""
    return re.sub(r'(?i)\b(left|right)(?=\b|_)', lambda word: _OTHER_SIDE[word[0].lower()], name)
