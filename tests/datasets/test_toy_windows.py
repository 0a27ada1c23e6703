"""Windows on drawn people: what their tags say is what the pipeline of a model shows."""
import csv
import json

import numpy as np
import pytest
from mmpose.registry import DATASETS

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.datasets.toy.person_windows import sample_windows

INPUT = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale', padding=1.0),
         dict(type='TopdownAffine', input_size=(128, 128))]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('people')
    make_toy_dataset(folder, kind='people', train=12, val=6)
    return folder


def people_of(data, split):
    content = json.loads((data / f'annotations/person_keypoints_{split}.json').read_text())
    files = {image['id']: image['file_name'] for image in content['images']}
    people = {}
    for annotation in content['annotations']:
        people.setdefault(files[annotation['image_id']], []).append(
            np.array(annotation['keypoints']).reshape(17, 3))
    return people, content['categories'][0]['keypoints']


def dataset(data, kind, **kwargs):
    return DATASETS.build(dict(type=kind, data_mode='topdown', data_root=f'{data}/', data_prefix=dict(img='data/'),
                               **kwargs))


def test_the_tags_of_a_window_are_the_keypoints_that_the_input_shows(data):
    people, names = people_of(data, 'train')
    with open(data / 'annotations/window_tags_train.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {'image', 'box', 'tags'}
    tagged = dataset(data, 'PresenceTagDataset', ann_file='annotations/window_tags_train.csv',
                     metainfo=dict(from_file='configs/_base_/datasets/coco.py'), pipeline=[])
    assert len(tagged) == len(rows) == 16 * sum(map(len, people.values()))
    from mmcv.transforms import Compose
    to_input = Compose([dict(type='mmpose.GetBBoxCenterScale', padding=1.0)])
    for index, row in enumerate(rows):
        sample = to_input(tagged.get_data_info(index))
        (center,), (scale,) = sample['bbox_center'], sample['bbox_scale']
        side = max(scale)  # what TopdownAffine makes of it for a square input
        everyone = np.stack(people[row['image']])
        inside = (np.abs(everyone[..., :2] - center) <= side / 2 + 1).all(-1)
        surely = (np.abs(everyone[..., :2] - center) <= side / 2 - 1).all(-1)
        seen = everyone[..., 2] == 2
        tags = {names.index(tag) for tag in row['tags'].split(';') if tag}
        assert set(np.flatnonzero((surely & seen).any(0))) <= tags <= set(np.flatnonzero((inside & seen).any(0)))


def test_windows_show_about_a_third_of_the_keypoints_and_cut_neighbours_apart(data):
    tagged = dataset(data, 'PresenceTagDataset', ann_file='annotations/window_tags_train.csv',
                     metainfo=dict(from_file='configs/_base_/datasets/coco.py'), pipeline=[])
    present = np.concatenate([tagged.get_data_info(i)['keypoints_visible'][..., 1] for i in range(len(tagged))])
    assert .15 < present.mean() < .5
    # Shoulder and elbow, hip and knee of one side.
    for one, other in ((5, 7), (11, 13)):
        assert (present[:, one] != present[:, other]).mean() > .1, (one, other)


def test_windows_to_test_on_hold_the_keypoints_that_they_are_said_to_show(data):
    people, _ = people_of(data, 'val')
    windows = dataset(data, 'CocoDataset', ann_file='annotations/person_windows_val.json', test_mode=True,
                      pipeline=INPUT)
    assert len(people) < len(windows) <= 2 * sum(map(len, people.values()))
    for sample in (windows[index] for index in range(len(windows))):
        shown = sample['keypoints_visible'][0] > 0
        points = sample['transformed_keypoints'][0][shown]
        assert 0 < shown.sum() < 17 and (points > -1).all() and (points < 129).all()


def test_the_windows_of_a_tiny_person_are_those_that_there_are():
    windows = list(sample_windows(np.random.default_rng(0), (5, 5, 3, 3), (64, 64), 500))
    assert 0 < len(windows) < 500
    assert len({window.box for window in windows}) == len(windows)


def test_windows_stay_the_same_when_more_pictures_are_drawn(data, tmp_path):
    make_toy_dataset(tmp_path, kind='people', train=3, val=1)
    few = (tmp_path / 'annotations/window_tags_train.csv').read_text().splitlines()
    assert (data / 'annotations/window_tags_train.csv').read_text().splitlines()[:len(few)] == few


def test_a_quarter_of_the_windows_is_large_and_contains_others(data):
    box, longer = (300, 200, 100, 160), 160
    windows = [window for seed in range(200)
               for window in sample_windows(np.random.default_rng(seed), box, (700, 600), 16)]
    sides = np.array([window.square[2] for window in windows]) / longer
    shifts = np.array([np.abs(np.array(window.square[:2]) + window.square[2] / 2 - (350, 280)).max()
                       for window in windows]) / longer
    assert sides.min() > .39 and 1.3 < sides.max() <= 1.41
    # Those of more than .85 are large ones, which are from .7 to 1.4.
    surely = sides > .86
    assert abs(surely.mean() - .25 * (1.4 - .86) / .7) < .03
    assert .1 < shifts[surely].max() <= .16
    samples = dataset(data, 'PresenceTagDataset', ann_file='annotations/window_tags_train.csv', windows=4,
                      metainfo=dict(from_file='configs/_base_/datasets/coco.py'), pipeline=[])
    everyone = sum(map(len, people_of(data, 'train')[0].values()))
    assert len(samples) > everyone
