"""The short names of the datasets' keypoints: as many, in the same order, and readable."""
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from clamp_mmpose.codecs import CaptionPose
from clamp_mmpose.codecs.caption_names import MPII_NAMES

TABLES = sorted((Path(__file__).parents[2] / 'configs/_base_/caption_names').glob('*.py'))
LONG = dict(ankl='ankle', sho='shoulder', elb='elbow', wri='wrist', fpaw='front paw', bpaw='back paw',
            felb='front elbow', belb='back elbow', fknee='front knee', bknee='back knee', upper_neck='upper neck')
# MMPose has no Penn Action: 13 keypoints, of which the head is the only one in the middle.
PENN_ACTION = dict(num_keypoints=13, flip_indices=[0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11])


def table(path):
    return Config.fromfile(path).caption_names


def in_words(name):
    """'lfpaw' -> 'left front paw'; 'pelvis' -> 'pelvis'."""
    parts = ('ankl', 'sho', 'elb', 'wri', 'fpaw', 'bpaw', 'felb', 'belb', 'fknee', 'bknee', 'knee', 'hip', 'eye', 'ear',
             'foot')
    if name[0] in 'lr' and name[1:] in parts:
        return f"{'left' if name[0] == 'l' else 'right'} {LONG.get(name[1:], name[1:])}"
    return LONG.get(name, name)


def test_there_is_a_table_for_each_table_of_prompts():
    prompts = TABLES[0].parents[1] / 'keypoint_names'
    assert [path.name for path in TABLES] == sorted(path.name for path in prompts.glob('*.py'))


@pytest.mark.parametrize('path', TABLES, ids=lambda path: path.stem)
def test_short_names_are_those_of_the_datasets_keypoints(path):
    metainfo = PENN_ACTION if path.stem == 'pennaction' else parse_pose_metainfo(
        dict(from_file=f'configs/_base_/datasets/{path.stem}.py'))
    short = table(path)
    assert len(short) == metainfo['num_keypoints']
    # A mirrored keypoint has the name of the other side.
    mirrored = [in_words(short[index]) for index in metainfo['flip_indices']]
    swap = dict(left='right', right='left')
    assert mirrored == [' '.join(swap.get(word, word) for word in in_words(name).split()) for name in short]
    # The words of the prompts hold those of the short name.
    prompts = Config.fromfile(path.parents[1] / f'keypoint_names/{path.stem}.py').keypoint_names
    for name, prompt in zip(short, prompts):
        assert all(word in prompt for word in in_words(name).split()), f'{name}: {prompt}'


@pytest.mark.parametrize('path', TABLES, ids=lambda path: path.stem)
def test_captions_of_every_dataset_are_read_back(path):
    names = table(path)
    codec = CaptionPose((384, 288), names=names)
    poses = np.random.default_rng(0).integers(0, 288, (3, len(names), 2))
    decoded = codec.decode([caption.replace(':', ' : ') for caption in codec.encode(poses)['caption']])
    np.testing.assert_array_equal(decoded.keypoints, poses)
    assert all(report.ok for report in decoded.report)


def test_mpii_is_the_default():
    (path, ) = [path for path in TABLES if path.stem == 'mpii']
    assert tuple(table(path)) == MPII_NAMES == CaptionPose().names


@pytest.mark.parametrize('names, message', [
    ('neck', 'must be a list of words'),
    (['neck', 3], 'must be a list of words'),
    ([], 'must have one word for each keypoint'),
    ([''], 'must be one word'),
    (['\u0301'], 'must be one word'),
    (['left eye'], "'left eye'; a name must be one word"),
    (['a\u2003b'], 'must be one word'),
    (['a:'], 'must be one word'),
    (['a,b'], 'must be one word'),
    (['(a'], 'must be one word'),
    (['1toe'], "'1toe'; a name must not start as a number does"),
    (['\u0661toe'], 'must not start as a number does'),
    (['.toe'], 'must not start as a number does'),
    (['-toe'], 'must not start as a number does'),
    (['neck', 'neck'], "'neck' and 'neck'; names must differ"),
    (['Neck', 'neck'], "'Neck' and 'neck'; names must differ"),
    (['cou', 'coû'], 'names must differ'),
])
def test_names_that_could_not_be_read_back_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        CaptionPose(names=names)
