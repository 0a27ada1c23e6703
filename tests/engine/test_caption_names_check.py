"""A codec that writes other keypoints than the dataset has stops a run before its first step."""
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from test_model_check_hook import Data, Model, runner

from clamp_mmpose.engine.caption_name_match import find_foreign_names

TABLES = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'caption_names'
SETS = [path.stem for path in sorted(TABLES.glob('*.py'))]
KEYPOINTS = {0: 'nose', 1: 'left_eye', 2: 'right_eye', 3: 'left_ear'}


def table(name):
    return runpy.run_path(str(TABLES / f'{name}.py'))['caption_names']


def keypoints_of(name):
    metainfo = parse_pose_metainfo(dict(from_file=f'configs/_base_/datasets/{name}.py'))
    return [*metainfo['keypoint_id2name'].values()]


class CaptionModel(Model):

    def __init__(self, names):
        super().__init__()
        self.codec = SimpleNamespace(names=tuple(names))
        del self.neck.keypoint_names
        self.neck.forward = lambda inputs: None


@pytest.mark.parametrize('task', ['train', 'test'])
@pytest.mark.parametrize('names, message', [
    (('nose', 'leye'), r'the codec has 2 names, nose, leye, and the dataset 4 keypoints, nose, left_eye, right_eye'),
    (('nose', 'reye', 'leye', 'lear'), r'reye stands for left_eye, and the dataset has right_eye elsewhere; leye stands'
     r' .* configs/_base_/caption_names'),
    (('leye', 'reye', 'nose', 'neck'), r"do not follow the dataset's keypoints: leye stands for nose"),
])
def test_names_of_other_keypoints(tmp_path, task, names, message):
    model = CaptionModel(names)
    with pytest.raises(ValueError, match=message):
        getattr(runner(tmp_path, model, task, Data(keypoint_id2name=KEYPOINTS)), task)()
    assert model.steps == 0


@pytest.mark.parametrize('names', [
    ('nose', 'leye', 'reye', 'lear'),
    ('l', 'n', 'x', 'y'),  # a letter says nothing
    ('snout', 'one', 'two', 'three'),
    ('Nase', 'lAuge', 'rAuge', 'lOhr'),
    ('leye', 'sight', 'reye', 'lear'),  # one name alone says little
])
def test_names_of_these_keypoints_or_of_the_users_own_run(tmp_path, names):
    model = CaptionModel(names)
    runner(tmp_path, model, data=Data(keypoint_id2name=KEYPOINTS)).train()
    assert model.steps == 2


@pytest.mark.parametrize('name', [name for name in SETS if name != 'pennaction'])  # which MMPose does not have
def test_our_tables_fit_their_dataset_and_no_other(name):
    names = table(name)
    assert len(names) == len(keypoints_of(name))
    assert not find_foreign_names(names, keypoints_of(name))
    for other in set(SETS) - {name, 'pennaction'}:
        keypoints = keypoints_of(other)
        if len(keypoints) == len(names):
            assert len(find_foreign_names(names, keypoints)) > 5


def test_sides_that_have_changed_places():
    names = table('mpii')
    names[names.index('lwri')], names[names.index('rwri')] = 'rwri', 'lwri'
    assert find_foreign_names(names, keypoints_of('mpii')) == [
        ('lwri', 'right_wrist', 'left_wrist'), ('rwri', 'left_wrist', 'right_wrist')]


def test_the_words_of_a_keypoint_are_begun_in_order():
    keypoints = ['left_shoulder', 'Root of tail']
    assert find_foreign_names(['tail', 'lsho'], keypoints) == [
        ('tail', 'left_shoulder', 'Root of tail'), ('lsho', 'Root of tail', 'left_shoulder')]
    for name in ('toe', 'shol', 'houl', 'leftsss'):  # letters of it, in order or not
        assert find_foreign_names(['other', name], keypoints) == []
