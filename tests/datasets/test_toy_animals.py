"""Where the keypoints of drawn animals are, and that MMPose reads and scores the files."""
import json

import cv2
import numpy as np
import pytest
from mmpose.registry import DATASETS, METRICS

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.datasets.toy.animal_drawing import draw_animal
from clamp_mmpose.datasets.toy.animal_pose import sample_animal_pose
from clamp_mmpose.datasets.toy.canvas import Canvas
from clamp_mmpose.datasets.toy.geometry import View
from clamp_mmpose.datasets.toy.keypoint_formats import AP10K_FAMILIES, AP10K_KEYPOINTS, AP10K_SKELETON
from clamp_mmpose.datasets.toy.species import SPECIES

NAMES = [species.name for species in SPECIES]
SWAPPED = [AP10K_KEYPOINTS.index(name.replace('left', '?').replace('right', 'left').replace('?', 'right'))
           for name in AP10K_KEYPOINTS]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp('animals')
    make_toy_dataset(out, train=44, val=12)
    return out


def load(data, split='train'):
    return json.loads((data / f'annotations/ap10k-{split}-split1.json').read_text())


def draw(species, *, facing, yaw=0., seed=0, size=(260, 240)):
    canvas = Canvas(*size)
    rng = np.random.default_rng(seed)
    pose = sample_animal_pose(rng, species, yaw)
    scale = 60 if species.name != 'giraffe' else 40
    view = View(yaw=yaw, facing=facing, scale=scale, origin=((size[0] - 1) / 2, size[1] - 25))
    return canvas, draw_animal(canvas, rng, species, species.coats[0], pose, view)


def test_species_cover_the_families_that_zero_shot_protocols_need():
    families = {family for family, names in AP10K_FAMILIES.items() if set(names) & set(NAMES)}
    assert len(NAMES) == len(set(NAMES)) >= 12
    assert families >= {'Bovidae', 'Canidae', 'Felidae', 'Equidae', 'Cricetidae'}


def test_categories_are_those_of_ap10k(data):
    categories = {category['id']: category for category in load(data)['categories']}
    assert sorted(categories) == list(range(1, 55))
    expected = {1: ('antelope', 'Bovidae'), 5: ('cow', 'Bovidae'), 9: ('fox', 'Canidae'), 19: ('hamster', 'Cricetidae'),
                22: ('zebra', 'Equidae'), 32: ('tiger', 'Felidae'), 38: ('rabbit', 'Leporidae'),
                44: ('raccoon', 'Procyonidae'), 48: ('pig', 'Suidae'), 52: ('panda', 'Ursidae'),
                54: ('bat', 'Vespertilionidae')}
    found = {number: (categories[number]['name'], categories[number]['supercategory']) for number in expected}
    assert found == expected
    assert len(categories[1]['keypoints']) == len(categories[1]['skeleton']) == 17


@pytest.mark.parametrize('species', SPECIES, ids=NAMES)
def test_picture_and_keypoints_mirror_exactly(species):
    right, left = (draw(species, facing=facing, yaw=12.) for facing in (1, -1))
    width = right[0].width
    mirrored = left[1].keypoints[SWAPPED] * [-1, 1] + [width - 1, 0]
    np.testing.assert_allclose(mirrored, right[1].keypoints, atol=1e-6)
    np.testing.assert_array_equal(left[1].away[SWAPPED], right[1].away)
    np.testing.assert_array_equal(left[1].visibility(left[0], AP10K_SKELETON)[SWAPPED],
                                  right[1].visibility(right[0], AP10K_SKELETON))
    difference = cv2.absdiff(left[0].image()[:, ::-1], right[0].image())
    assert difference.mean() < .5  # edges may round differently


@pytest.mark.parametrize('facing, seen, hidden', [(-1, 'left', 'right'), (1, 'right', 'left')])
def test_an_animal_shows_the_side_on_which_its_head_does_not_point(facing, seen, hidden):
    """One that faces left in the picture shows its left side: the other eye is hidden, the other feet stand higher."""
    for seed in range(8):
        canvas, figure = draw(SPECIES[NAMES.index('rhino')], facing=facing, seed=seed)
        points = dict(zip(AP10K_KEYPOINTS, figure.keypoints))
        flags = dict(zip(AP10K_KEYPOINTS, figure.visibility(canvas, AP10K_SKELETON)))
        assert facing * (points['nose'][0] - points['root_of_tail'][0]) > 0
        assert flags[f'{seen}_shoulder'] == flags[f'{seen}_hip'] == 2
        assert points[f'{hidden}_shoulder'][1] < points[f'{seen}_shoulder'][1]
        if flags['left_eye'] != flags['right_eye']:
            assert (flags[f'{seen}_eye'], flags[f'{hidden}_eye']) == (2, 0)


@pytest.mark.parametrize('species', SPECIES, ids=NAMES)
def test_keypoints_lie_on_the_animal(species):
    flags = []
    for seed in range(4):
        canvas, figure = draw(species, facing=1, seed=seed)
        on_animal = [canvas.owner_at(point) in figure.parts for point in figure.keypoints[~figure.away]]
        assert np.mean(on_animal) > .9  # the root of the tail sits on the outline
        flags.append(figure.visibility(canvas, AP10K_SKELETON))
    near = [AP10K_KEYPOINTS.index(name) for name in ('nose', 'right_eye', 'right_elbow', 'right_front_paw', 'right_hip',
                                                     'right_back_paw')]
    assert (np.array(flags)[:, near] == 2).mean() > .8


def test_annotations_are_consistent(data):
    content = load(data)
    images = {image['id']: image for image in content['images']}
    seen = set()
    assert set(content['annotations'][0]) == {'id', 'image_id', 'category_id', 'bbox', 'area', 'iscrowd',
                                              'num_keypoints', 'keypoints'}
    assert set(content['images'][0]) == {'license', 'id', 'file_name', 'width', 'height', 'background'}
    for annotation in content['annotations']:
        image = images[annotation['image_id']]
        x, y, w, h = annotation['bbox']
        assert x >= 0 and y >= 0 and w > 0 and h > 0 and x + w <= image['width'] and y + h <= image['height']
        assert annotation['area'] == w * h
        points = np.array(annotation['keypoints']).reshape(17, 3)
        assert annotation['num_keypoints'] == np.count_nonzero(points[:, 2]) >= 4
        assert not points[points[:, 2] == 0].any()
        assert (points[:, :2] < [image['width'], image['height']]).all() and (points >= 0).all()
        seen |= set(points[:, 2].tolist())
    assert seen == {0, 1, 2}


def test_pictures_have_the_stated_size_and_several_animals_at_times(data):
    content = load(data)
    for image in content['images'][:10]:
        picture = cv2.imread(str(data / 'data' / image['file_name']))
        assert picture.shape == (image['height'], image['width'], 3)
    counts = np.unique([annotation['image_id'] for annotation in content['annotations']], return_counts=True)[1]
    assert set(counts) == {1, 2, 3}


def test_both_eyes_show_when_the_head_turns(data):
    eyes = np.array([annotation['keypoints'][:6] for annotation in load(data)['annotations']])[:, [2, 5]] == 2
    both = eyes.all(axis=1).mean()
    assert .1 < both < .6
    assert (eyes.sum(axis=1) == 1).mean() > .3


def test_left_eye_is_on_the_right_of_a_head_that_looks_at_the_viewer(data):
    eyes = np.array([annotation['keypoints'][:6] for annotation in load(data)['annotations']])
    both = eyes[(eyes[:, [2, 5]] == 2).all(axis=1)]
    assert (both[:, 0] >= both[:, 3]).all()


def test_mmpose_reads_and_scores_the_files(data):
    dataset = DATASETS.build(dict(
        type='AP10KDataset', data_root=str(data), ann_file='annotations/ap10k-val-split1.json', test_mode=True,
        data_prefix=dict(img='data/'), pipeline=[dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
                                                 dict(type='TopdownAffine', input_size=(128, 128)),
                                                 dict(type='PackPoseInputs')]))
    assert len(dataset) == len(load(data, 'val')['annotations'])

    def average_precision(shift):
        metric = METRICS.build(dict(type='CocoMetric', ann_file=str(data / 'annotations/ap10k-val-split1.json')))
        metric.dataset_meta = dataset.metainfo
        for sample in dataset:
            sample = sample['data_samples']
            predicted = dict(keypoints=sample.gt_instances.keypoints + shift, keypoint_scores=np.ones((1, 17)),
                             bbox_scores=np.ones(1))
            sample = dict(sample.to_dict(), pred_instances=predicted)
            metric.process(None, [sample])
        return metric.evaluate(len(dataset))['coco/AP']

    assert average_precision(0) == pytest.approx(1)
    assert average_precision(60) < .2
