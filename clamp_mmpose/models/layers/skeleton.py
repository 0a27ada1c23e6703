from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from torch import Tensor


def read_skeleton(metainfo: str | dict | None, links: Sequence | None, num_keypoints: int) -> Sequence:
    """The links of the skeleton as pairs of keypoint indices: ``links``, or those of ``metainfo``.

    Raises ValueError where there is neither, and for the metainfo of another number of keypoints.
    """
    if links is not None:
        return links
    if metainfo is None:
        raise ValueError('reppg needs the skeleton: give metainfo, such as configs/_base_/datasets/coco.py, or '
                         'skeleton_links=[(0, 1), ...]; reppg=None does without')
    parsed = parse_pose_metainfo(dict(from_file=metainfo) if isinstance(metainfo, str) else metainfo)
    if parsed['num_keypoints'] != num_keypoints:
        raise ValueError(f"out_channels={num_keypoints} of LOFRHead, but its metainfo, of "
                         f"{parsed['dataset_name']}, has {parsed['num_keypoints']} keypoints")
    return parsed['skeleton_links']


def kinematic_adjacency(links: Sequence[Sequence[int]], num_keypoints: int) -> Tensor:
    """(C, C) of 0 and 1: the links of the skeleton in both directions, and every keypoint with itself.

    Raises ValueError for a skeleton without links, and for a link to a keypoint that there is not.
    """
    links = [tuple(int(end) for end in link) for link in links]
    if not links:
        raise ValueError('the skeleton has no links, so its keypoints have no relations to learn; give '
                         'skeleton_links=[(0, 1), ...], or reppg=None')
    for link in links:
        if len(link) != 2 or not all(0 <= end < num_keypoints for end in link):
            raise ValueError(f'the link {link} of the skeleton must be two of the keypoints 0 to {num_keypoints - 1}')
    adjacency = torch.eye(num_keypoints)
    start, end = torch.tensor(links).unbind(1)
    adjacency[start, end] = adjacency[end, start] = 1
    return adjacency
