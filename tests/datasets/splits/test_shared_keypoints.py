"""Which keypoints two datasets share, and the skeleton that these make."""
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import TRANSFORMS

from clamp_mmpose.datasets.splits import SharedKeypoints, convert_annotations, shared_config
from clamp_mmpose.datasets.splits.keypoint_places import PLACES

CONFIGS = Path(__file__).parents[3] / 'configs'
PAIRS = [pair for pair in itertools.permutations(PLACES, 2) if set(pair) not in ({'animalpose', other} for other in (
    'crowdpose', 'mpii', 'h36m'))]


def metainfo(dataset):
    return parse_pose_metainfo(dict(from_file=f'configs/_base_/datasets/{dataset}.py'))


def mirrored(name):
    swap = {'left': 'right', 'right': 'left'}
    return ' '.join(swap.get(word, word) for word in name.split())


@pytest.mark.parametrize('dataset', PLACES)
def test_the_table_has_the_names_that_prompts_use(dataset):
    assert list(PLACES[dataset]) == Config.fromfile(CONFIGS / f'_base_/keypoint_names/{dataset}.py').keypoint_names


@pytest.mark.parametrize('dataset', PLACES)
def test_places_are_on_the_side_of_their_keypoints(dataset):
    for name, place in PLACES[dataset].items():
        for one in place if isinstance(place, tuple) else (place, ):
            assert one is None or [w for w in one.split() if w in ('left', 'right')] == [
                word for word in name.split() if word in ('left', 'right')]
    given = [place for place in PLACES[dataset].values() if place]
    assert len(set(given)) == len(given)


def test_legs_of_ap10k_and_animalpose_are_matched_by_place_not_by_name():
    """AP-10K's README, question 4: of animals on toes or hooves, 'hip' is the knee and 'knee' the ankle."""
    same = dict(SharedKeypoints('ap10k', 'animalpose').names_of_both())
    assert same == {
        'nose': 'nose', 'tail root': 'tail base',
        **{f'{side} {name}': f'{side} {other}' for side in ('left', 'right') for name, other in {
            'eye': 'eye', 'shoulder': 'front elbow', 'elbow': 'front knee', 'front paw': 'front paw',
            'hip': 'back elbow', 'knee': 'back knee', 'back paw': 'back paw'}.items()}
    }


@pytest.mark.parametrize('a, b, number, number_loose', [
    ('ap10k', 'animalpose', 16, 16), ('coco', 'mpii', 12, 12), ('coco', 'crowdpose', 12, 12), ('coco', 'h36m', 12, 12),
    ('mpii', 'crowdpose', 13, 14), ('mpii', 'h36m', 12, 15), ('ap10k', 'coco', 3, 11), ('animalpose', 'coco', 3, 5),
])
def test_how_many_are_shared(a, b, number, number_loose):
    assert len(SharedKeypoints(a, b).pairs) == len(SharedKeypoints(b, a).pairs) == number
    assert len(SharedKeypoints(a, b, loose=True).pairs) == number_loose


@pytest.mark.parametrize('a, b', PAIRS)
def test_the_shared_skeleton_is_one_that_mmpose_reads_and_can_be_flipped(a, b):
    shared = SharedKeypoints(a, b, loose=True)
    info = parse_pose_metainfo(shared.metainfo)
    names = shared.keypoint_names
    assert info['num_keypoints'] == len(names) == len(info['sigmas'])
    for dataset in (a, b):
        official = metainfo(dataset)
        for index, target in shared.mapping(dataset):
            # The shared skeleton flips as that of each dataset does.
            flipped = official['flip_indices'][index]
            assert dict(shared.mapping(dataset))[flipped] == info['flip_indices'][target]
        assert shared.flip_indices(dataset) == official['flip_indices']
    assert [names[index] for index in info['flip_indices']] == [mirrored(name) for name in names]
    owner = metainfo(a if a != 'h36m' else b)
    sources = [index for index, _ in shared.mapping(a if a != 'h36m' else b)]
    np.testing.assert_array_equal(info['sigmas'], owner['sigmas'][sources])


def test_sigmas_of_either_dataset():
    ours, theirs = (SharedKeypoints('ap10k', 'animalpose', sigmas=name).metainfo['sigmas']
                    for name in ('ap10k', 'animalpose'))
    assert ours[4] == 0.079 and theirs[4] == 0.107  # shoulder, front elbow


@pytest.mark.parametrize('a, b', PAIRS)
def test_a_converter_takes_each_keypoint_to_its_place(a, b, tmp_path):
    """From a to b, and back: a shared keypoint returns, the others are unlabelled. Read as a config, by MMPose."""
    shared = SharedKeypoints(a, b, loose=True)
    (tmp_path / 'common.py').write_text(shared_config(shared, 'common.py'))
    config = Config.fromfile(tmp_path / 'common.py')
    assert config.common_keypoint_names == shared.keypoint_names
    assert str(parse_pose_metainfo(config.common_metainfo)) == str(parse_pose_metainfo(shared.metainfo))
    number = len(PLACES[a])
    points = np.stack([np.arange(1., number + 1)] * 2, axis=-1)[None]

    def convert(name):
        results = TRANSFORMS.build(config[name])(dict(keypoints=points.copy(), keypoints_visible=np.ones((1, number))))
        return results['keypoints'][0, :, 0], results['keypoints_visible'][0, :, 0]

    places = [place if isinstance(place, tuple) else (place, ) for place in PLACES[a].values()]
    common, visible = convert(f'{a}_to_common')
    assert [list(PLACES[a])[int(x) - 1] for x in common] == shared.keypoint_names and visible.all()
    other, visible = convert(f'{a}_to_{b}')
    assert len(other) == len(PLACES[b]) and visible.sum() == len(common)
    for x, seen, place in zip(other, visible, PLACES[b].values()):
        place = place if isinstance(place, tuple) else (place, )
        assert seen == any(set(place) & set(one) - {None} for one in places)
        assert not seen or set(places[int(x) - 1]) & set(place) - {None}


@pytest.mark.parametrize('b, folder', [('ap10k', 'data/'), ('animalpose', ''), ('coco', 'val2017/')])
def test_the_example_finds_the_pictures_where_mmposes_guides_put_them(b, folder):
    a = 'ap10k' if b == 'animalpose' else 'animalpose'
    assert f"data_prefix=dict(img='{folder}')" in shared_config(SharedKeypoints(a, b), 'common.py')


def test_the_fragment_stands_beside_a_recipe(tmp_path):
    shared = SharedKeypoints('ap10k', 'animalpose')
    (tmp_path / 'common.py').write_text(shared_config(shared, 'common.py'))
    recipe = Config.fromfile(CONFIGS / 'clamp/clamp_rn50_4xb32-210e_ap10k-256x256.py')
    recipe.dump(tmp_path / 'recipe.py')
    (tmp_path / 'both.py').write_text("_base_ = ['recipe.py', 'common.py']")
    both = Config.fromfile(tmp_path / 'both.py')
    assert len(both.keypoint_names) == 17 and both.common_num_keypoints == 16
    # MMEngine keeps the config of a run: the fragment must survive being written.
    both.dump(tmp_path / 'dumped.py')
    dumped = Config.fromfile(tmp_path / 'dumped.py')
    assert str(parse_pose_metainfo(dumped.common_metainfo)) == str(parse_pose_metainfo(shared.metainfo))


@pytest.mark.parametrize('a, b, kwargs, message', [
    ('ap10k', 'ap10k', {}, 'are one dataset'),
    ('ap10', 'coco', {}, r"a='ap10' is not known: choose one of ap10k, .*Did you mean 'ap10k'"),
    ('coco', 'pennaction', {}, "b='pennaction' is not known"),
    ('animalpose', 'mpii', {}, 'share no keypoint$'),
    ('ap10k', 'mpii', {}, 'share no keypoint, except roughly: see --loose'),
    ('coco', 'mpii', dict(sigmas='h36m'), "sigmas='h36m' is not known: choose one of coco, mpii"),
])
def test_datasets_that_do_not_fit(a, b, kwargs, message):
    with pytest.raises(ValueError, match=message):
        SharedKeypoints(a, b, **kwargs)


def test_human36m_has_no_sigmas():
    with pytest.raises(ValueError, match='no sigmas for h36m'):
        SharedKeypoints('h36m', 'coco', sigmas='h36m').metainfo  # noqa: B018
    assert SharedKeypoints('h36m', 'coco').metainfo['sigmas'][0] == 0.107  # COCO's hip


def test_annotations_keep_the_shared_keypoints(train, read):
    train.add('cow')
    only_neck = [0] * 51
    only_neck[9:12] = 5, 5, 2
    train.content['annotations'][-1].update(keypoints=only_neck, num_keypoints=1)
    shared = SharedKeypoints('ap10k', 'animalpose')
    file, remarks = convert_annotations(read(train), 'ap10k', shared)
    whole, last = file.annotations[0], file.annotations[-1]
    assert whole['num_keypoints'] == 16 and whole['keypoints'][9:12] == [15, 16, 2]  # the tail root, after the neck
    assert last['num_keypoints'] == 0 and not any(last['keypoints'])
    assert whole['bbox'] == train.content['annotations'][0]['bbox']
    assert len(file.annotations) == 37 and len(file.images) == 37
    assert remarks == ['ap10k-train-split1.json: 1 instances have none of the shared keypoints labelled']
    assert file.name == 'ap10k-train-split1_common-ap10k-animalpose.json'


@pytest.mark.parametrize('names, keypoints, message', [
    (None, 20, 'annotation 1 of .* has 20 keypoints, ap10k has 17'),
    (list(PLACES['coco']), 17, 'lists the keypoints nose, left eye, .*: these are not those of ap10k'),
    (['a', 'b'], 17, 'lists the keypoints a, b'),
])
def test_annotations_of_another_dataset_are_refused(train, read, names, keypoints, message):
    for annotation in train.content['annotations']:
        annotation['keypoints'] = [1, 1, 2] * keypoints
    if names:
        train.content['categories'][0]['keypoints'] = names
    with pytest.raises(ValueError, match=message):
        convert_annotations(read(train), 'ap10k', SharedKeypoints('ap10k', 'animalpose'))


@pytest.mark.parametrize('dataset, names', [
    ('ap10k', ['left_eye', 'right_eye', 'nose', 'neck', 'root_of_tail', 'left_shoulder', 'left_elbow', 'left_front_paw',
               'right_shoulder', 'right_elbow', 'right_front_paw', 'left_hip', 'left_knee', 'left_back_paw',
               'right_hip', 'right_knee', 'right_back_paw']),
    ('animalpose', ['L_Eye', 'R_Eye', 'L_EarBase', 'R_EarBase', 'Nose', 'Throat', 'TailBase', 'Withers', 'L_F_Elbow',
                    'R_F_Elbow', 'L_B_Elbow', 'R_B_Elbow', 'L_F_Knee', 'R_F_Knee', 'L_B_Knee', 'R_B_Knee', 'L_F_Paw',
                    'R_F_Paw', 'L_B_Paw', 'R_B_Paw']),
])
def test_the_names_in_the_released_files_are_known(train, read, dataset, names):
    for annotation in train.content['annotations']:
        annotation['keypoints'] = [1, 1, 2] * len(names)
    train.content['categories'][0].update(keypoints=names, skeleton=[[1, 2]])
    file, _ = convert_annotations(read(train), dataset, SharedKeypoints('ap10k', 'animalpose'))
    category = json.loads(file.encode())['categories'][0]
    assert len(category['keypoints']) == 16 and category['keypoints'][3] == 'tail_root'
    assert max(end for link in category['skeleton'] for end in link) == 16
