"""The tables of names in natural language against what MMPose's metainfo calls the same keypoints."""
import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from clamp_mmpose.models.text_encoders import TextPrompts
from clamp_mmpose.testing import TINY_TEXT

FOLDER = Path(__file__).parents[2] / 'configs/_base_/keypoint_names'
NAMES = {path.stem: Config.fromfile(path).keypoint_names for path in sorted(FOLDER.glob('*.py'))}
COUNTS = dict(ap10k=17, animalpose=20, coco=17, crowdpose=14, h36m=17, mpii=16, pennaction=13)
OF_MMPOSE = [dataset for dataset in NAMES if dataset != 'pennaction']
# How MMPose abbreviates, and where its word and the table's differ.
WORDS = {'l': 'left', 'r': 'right', 'f': 'front', 'b': 'back'}
SAME = [{'root of tail', 'tail root'}, {'root', 'pelvis'}, {'top head', 'head top'}, {'left earbase', 'left ear base'},
        {'right earbase', 'right ear base'}, {'tailbase', 'tail base'}]


def metainfo(dataset):
    return parse_pose_metainfo(dict(from_file=f'configs/_base_/datasets/{dataset}.py'))


def in_words(name):
    """'L_F_Elbow' -> 'left front elbow', 'L_EarBase' -> 'left ear base'."""
    words = re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', name).replace('_', ' ').lower().split()
    return ' '.join(WORDS.get(word, word) for word in words)


def mirrored(name):
    swap = {'left': 'right', 'right': 'left'}
    return ' '.join(swap.get(word, word) for word in name.split())


def test_there_is_a_table_for_every_dataset():
    assert {dataset: len(names) for dataset, names in NAMES.items()} == COUNTS


@pytest.mark.parametrize('dataset', OF_MMPOSE)
def test_names_say_what_the_metainfo_says_in_its_order(dataset):
    info = metainfo(dataset)
    official = [info['keypoint_id2name'][index] for index in range(info['num_keypoints'])]
    assert len(NAMES[dataset]) == len(official)
    for name, original in zip(NAMES[dataset], official):
        words = in_words(original)
        assert name == words or {name, words} in SAME, (name, original)


@pytest.mark.parametrize('dataset', OF_MMPOSE)
def test_sides_agree_with_the_flip_pairs(dataset):
    names, flip_indices = NAMES[dataset], metainfo(dataset)['flip_indices']
    for name, index in zip(names, flip_indices):
        assert names[index] == mirrored(name)


@pytest.mark.parametrize('dataset', NAMES)
def test_every_name_has_its_mirror_image(dataset):
    names = set(NAMES[dataset])
    assert {mirrored(name) for name in names} == names


@pytest.mark.parametrize('dataset', NAMES)
def test_names_are_lower_case_words_that_make_prompts(dataset):
    assert all(re.fullmatch(r'[a-z]+( [a-z]+)*', name) for name in NAMES[dataset])
    assert TextPrompts(NAMES[dataset], dict(type='CLIPTextEncoder', arch=TINY_TEXT)).names == tuple(NAMES[dataset])
