import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS

from clamp_mmpose.models import mirror_indices


@pytest.mark.parametrize('names, expected', [
    (['nose'], [0]),
    (['left eye', 'nose', 'right eye'], [2, 1, 0]),
    (['L_Eye', 'R_Eye', 'left-ear', 'Right ear'], [1, 0, 3, 2]),
    (['left front paw', 'left back paw', 'right back paw', 'right front paw'], [3, 2, 1, 0]),
    (['leftEar', 'rightEar', 'tail'], [1, 0, 2]),
    (['tip of the left wing', 'tip of the right wing'], [1, 0]),
    (['upright ear', 'leftover'], [0, 1]),  # no words of their own
])
def test_a_name_and_its_other_side_change_places(names, expected):
    assert mirror_indices(names) == expected


@pytest.mark.parametrize('dataset', ['AP10KDataset', 'AnimalPoseDataset', 'CocoDataset', 'MpiiDataset',
                                     'CrowdPoseDataset', 'Horse10Dataset', 'ATRWDataset'])
def test_it_agrees_with_mmposes_own_flip_indices(dataset):
    metainfo = parse_pose_metainfo(DATASETS.get(dataset).METAINFO)
    names = [metainfo['keypoint_id2name'][index] for index in range(metainfo['num_keypoints'])]
    differing = [name for name, index, other in zip(names, mirror_indices(names), metainfo['flip_indices'])
                 if index != other]
    assert differing == []


def test_a_name_without_its_other_side_is_an_error():
    with pytest.raises(ValueError, match=r"the other side of 'left eye', 'right ear' is not among the names"):
        mirror_indices(['left eye', 'nose', 'right ear'])
