"""What LOFR is compared with on toy people: mean locations, and the accuracy of each keypoint."""
import argparse
import json

import numpy as np
import pytest

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.tools.evidence import presence


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('people')
    make_toy_dataset(folder, kind='people', train=30, val=10)
    return folder


def test_the_mean_location_is_that_of_the_people_to_learn_from_in_their_boxes(data):
    people = json.loads((data / 'annotations/person_keypoints_train.json').read_text())['annotations']
    places = [[] for _ in range(17)]
    for person in people:
        x, y, w, h = person['bbox']
        for index, (px, py, flag) in enumerate(np.reshape(person['keypoints'], (17, 3))):
            if flag:
                places[index].append(((px - x - w / 2) / max(w, h), (py - y - h / 2) / max(w, h)))
    hits = [[] for _ in range(17)]
    for person in json.loads((data / 'annotations/person_keypoints_val.json').read_text())['annotations']:
        x, y, w, h = person['bbox']
        for index, (px, py, flag) in enumerate(np.reshape(person['keypoints'], (17, 3))):
            if flag:
                guess = np.array([x + w / 2, y + h / 2]) + np.mean(places[index], axis=0) * max(w, h)
                hits[index].append(np.hypot(*(guess - (px, py))) < .2 * max(w, h))
    found = presence.mean_locations(data, 'people')[presence.MEAN]
    assert found == pytest.approx([100 * np.mean(one) for one in hits])


def test_who_knows_the_facing_takes_the_mean_of_those_who_face_so(tmp_path):
    people = []
    for side in (-1, 1):
        keypoints = np.full((17, 3), (50., 50., 2.))
        keypoints[0, 0] += 10 * side  # the nose, off the ears
        keypoints[9, 0] += 40 * side  # a wrist
        people.append(dict(bbox=[0, 0, 100, 100], keypoints=keypoints.ravel().tolist()))
    (tmp_path / 'annotations').mkdir()
    for name in ('person_keypoints_train.json', 'person_keypoints_val.json'):
        (tmp_path / 'annotations' / name).write_text(json.dumps(dict(annotations=people)))
    found = presence.mean_locations(tmp_path, 'people')
    assert found[presence.MEAN][9] == 0 and found[presence.FACING] == [100] * 17


def test_windows_are_harder_than_people(data):
    people, windows = (presence.mean_locations(data, test) for test in ('people', 'windows'))
    assert np.mean(windows[presence.MEAN]) < np.mean(people[presence.MEAN]) - 15


def test_accuracy_counts_labelled_keypoints_within_a_fifth_of_the_longer_side(tmp_path):
    from mmengine.fileio import dump
    truth = np.zeros((1, 17, 2))
    predicted = truth.copy()
    predicted[0, 0, 0], predicted[0, 1, 1], predicted[0, 2, 0] = 9.9, 10.1, 500
    visible = np.ones((1, 17))
    visible[0, 2] = 0
    samples = [dict(pred_instances=dict(keypoints=predicted),
                    gt_instances=dict(keypoints=truth, keypoints_visible=visible, bboxes=np.array([[0, 0, 20, 50]])))]
    dump(samples, str(tmp_path / 'predictions.pkl'))
    accuracy = presence._accuracy_of(tmp_path / 'predictions.pkl')
    assert accuracy[:2] == [100, 0] and accuracy[3] == 100


def test_the_table_has_each_model_and_part(tmp_path):
    args = argparse.Namespace(out=tmp_path / 'evidence.md', seeds=[0, 1], train=None)
    keypoints = [float(10 * (index in presence.PARTS['knees'])) for index in range(17)]
    presence._write(args, {'people': {presence.MEAN: [keypoints], presence.LOFR: [keypoints, [20.] * 17]}},
                    {presence.LOFR: [6., 7.]})
    lines = (tmp_path / 'evidence.md').read_text().splitlines()
    assert '| mean location | 1.2 | 0 | 0 | 0 | 0 | 0 | 10 | 0 |' in lines
    assert '| LOFR | 10.6 (1.2 to 20.0) | 10 | 10 | 10 | 10 | 10 | 15 | 10 |' in lines


def test_models_of_one_seed_among_others_are_called_so(tmp_path):
    args = argparse.Namespace(out=tmp_path / 'evidence.md', seeds=[0, 1], train=None)
    for baseline, told in (([5., 6.], False), ([5.], True)):
        presence._write(args, {'people': {presence.LOFR: [[1.] * 17] * 2, presence.BASE: [[1.] * 17] * len(baseline)}},
                        {presence.LOFR: [6., 7.], presence.BASE: baseline})
        assert ('without these is of seed 0 alone' in (tmp_path / 'evidence.md').read_text()) == told
