"""PCK by the torso, against a loop in plain Python."""
import copy
import math

import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import METRICS

PENN = ['head', 'left_shoulder', 'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist', 'left_hip',
        'right_hip', 'left_knee', 'right_knee', 'left_ankle', 'right_ankle']


@pytest.fixture
def log(monkeypatch):
    lines = []
    for level in ('info', 'warning'):
        monkeypatch.setattr(MMLogger.get_current_instance(), level, lines.append)
    return lines


def sample(label, predicted, visible):
    label, predicted = np.array(label, dtype=np.float32), np.array(predicted, dtype=np.float32)
    return dict(gt_instances=dict(keypoints=label, keypoints_visible=np.array(visible, dtype=np.float32)),
                pred_instances=dict(keypoints=predicted), img_path='0001.jpg')


def random_samples(num_keypoints, *, seed=0, count=60, max_instances=1, hidden=0.1):
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(count):
        shape = rng.integers(1, max_instances + 1), num_keypoints
        label = rng.uniform(0, 200, (*shape, 2))
        predicted = label + rng.normal(0, 10, label.shape) * rng.choice([0, 0.5, 1, 3], (*shape, 1))
        predicted[rng.random(shape) < 0.02] = np.nan
        samples.append(sample(label, predicted, rng.random(shape) > hidden))
    return samples


def loop(samples, upper, lower, thr, use_hidden=False):
    """Joint by joint: weighted mean, mean of joints, shares."""
    num_keypoints = samples[0]['gt_instances']['keypoints'].shape[1]
    right, count = [0] * num_keypoints, [0] * num_keypoints
    for one in samples:
        truth = one['gt_instances']
        for points, seen, found in zip(truth['keypoints'].tolist(), truth['keypoints_visible'].tolist(),
                                       one['pred_instances']['keypoints'].tolist()):
            if not use_hidden and not all(seen[k] for k in upper + lower):
                continue
            middle = [[sum(points[k][axis] for k in end) / len(end) for axis in (0, 1)] for end in (upper, lower)]
            torso = math.dist(*middle)
            if torso == 0:
                continue
            for k in range(num_keypoints):
                if seen[k]:
                    count[k] += 1
                    right[k] += math.dist(points[k], found[k]) <= thr * torso
    shares = [right[k] / count[k] for k in range(num_keypoints)]
    return sum(right) / sum(count), sum(shares) / num_keypoints, shares


def build(names=PENN, **arguments):
    metric = METRICS.build(dict(type='TorsoPCKAccuracy', **arguments))
    metric.dataset_meta = dict(keypoint_id2name=dict(enumerate(names)))
    return metric


def evaluate(samples, names=PENN, **arguments):
    metric = build(names, **arguments)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def of_mmpose(dataset):
    return [*parse_pose_metainfo(dict(from_file=f'configs/_base_/datasets/{dataset}.py'))['keypoint_id2name'].values()]


# The joints by number, as the datasets' papers count them.
@pytest.mark.parametrize('names, upper, lower', [
    (PENN, [1, 2], [7, 8]),
    (of_mmpose('h36m'), [9], [1, 4]),
    (of_mmpose('mpii'), [12, 13], [2, 3]),
    (of_mmpose('coco'), [5, 6], [11, 12]),
    (of_mmpose('crowdpose'), [0, 1], [6, 7]),
    (of_mmpose('jhmdb'), [3, 4], [5, 6]),
    (of_mmpose('ap10k'), [5, 8], [11, 14]),
], ids=['penn', 'h36m', 'mpii', 'coco', 'crowdpose', 'jhmdb', 'ap10k'])
@pytest.mark.parametrize('arguments', [{}, dict(use_hidden=True), dict(thr=0.05)])
def test_it_is_that_of_a_plain_loop_in_every_dataset(names, upper, lower, arguments):
    samples = random_samples(len(names), max_instances=3)
    found = evaluate(samples, names, **arguments)
    thr = arguments.get('thr', 0.2)
    mean, joint_mean, shares = loop(samples, upper, lower, thr, arguments.get('use_hidden', False))
    expected = {f'torso_pck/PCK@{thr:g}': mean, f'torso_pck/joint_mean@{thr:g}': joint_mean,
                **{f'torso_pck/PCK/{name}': share for name, share in zip(names, shares)}}
    assert found == pytest.approx(expected, abs=1e-12) and [*found] == [*expected]
    assert 0.2 < mean < 0.95 and mean != joint_mean


def test_the_torso_can_be_named():
    samples = random_samples(13)
    found = evaluate(samples, torso=('Head', ['left ankle', 'right_ankle']))
    assert found['torso_pck/PCK@0.2'] == pytest.approx(loop(samples, [0], [11, 12], 0.2)[0], abs=1e-12)


def person():
    label = np.zeros((1, 13, 2))
    label[0, :, 1] = np.arange(13)
    label[0, [1, 2]] = [[40, 20], [60, 20]]
    label[0, [7, 8]] = [[45, 70], [55, 70]]  # a torso of 50
    return label


def test_a_hit_is_at_most_a_fifth_of_the_torso_away():
    label = person()
    for offset, hit in ((10, 1), (10.01, 0), (-10, 1), (-10.01, 0)):
        assert evaluate([sample(label, label + np.array([0, offset]), np.ones((1, 13)))])['torso_pck/PCK@0.2'] == hit


def test_what_is_not_finite_is_a_miss():
    label = person()
    for value in (np.nan, np.inf, -np.inf):
        predicted = label.copy()
        predicted[0, 0, 1] = value
        found = evaluate([sample(label, predicted, np.ones((1, 13)))])
        assert found['torso_pck/PCK/head'] == 0 and found['torso_pck/PCK/left_hip'] == 1
        assert found['torso_pck/PCK@0.2'] == 12 / 13


def test_an_instance_without_torso_does_not_count_and_the_log_says_so(log):
    label, visible = person(), np.ones((1, 13))
    hidden, flat = visible.copy(), label.copy()
    hidden[0, 7] = 0
    flat[0, [1, 2, 7, 8]] = 30
    far = label + 100
    samples = [sample(label, label, visible), sample(label, far, hidden), sample(flat, far, visible)]
    assert evaluate(samples)['torso_pck/PCK@0.2'] == 1
    assert log == ['PCK of 1 of 3 instances, normalised by the torso from left_shoulder and right_shoulder to left_hip '
                   'and right_hip; the others have none']
    found = evaluate(samples, use_hidden=True)
    assert found['torso_pck/PCK@0.2'] == 13 / 25 and found['torso_pck/PCK/left_hip'] == 1


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_label_that_is_not_finite_makes_no_torso(value):
    label, visible = person(), np.ones((1, 13))
    broken = label.copy()
    broken[0, 7, 0], visible[0, 7] = value, 0
    samples = [sample(label, label + 100, np.ones((1, 13))), sample(broken, label, visible)]
    assert evaluate(samples, use_hidden=True)['torso_pck/PCK@0.2'] == 0


def test_a_joint_that_is_never_visible_has_no_share_and_is_in_no_mean():
    label, visible = person(), np.ones((1, 13))
    visible[0, 0] = 0
    found = evaluate([sample(label, label, visible)])
    assert np.isnan(found.pop('torso_pck/PCK/head')) and set(found.values()) == {1}


def test_without_any_torso_there_is_no_pck_and_a_warning(log):
    found = evaluate([sample(person(), person(), np.zeros((1, 13)))])
    assert np.isnan([*found.values()]).all() and 'use_hidden=True' in log[-1]


def test_visibility_with_weights_of_the_keypoint_converter_is_understood():
    label = person()
    visible = np.stack([np.arange(13) > 0, np.ones(13)], axis=-1)[None]
    predicted = label.copy()
    predicted[0, 0] += 100
    assert evaluate([sample(label, predicted, visible)])['torso_pck/PCK@0.2'] == 1


def test_copies_of_the_metric_count_for_themselves():
    """As MeTTAHook uses them."""
    metric = build()
    other = copy.deepcopy(metric)
    label = person()
    metric.process(None, [sample(label, label, np.ones((1, 13)))])
    other.process(None, [sample(label, label + 100, np.ones((1, 13)))])
    assert metric.evaluate(1)['torso_pck/PCK@0.2'] == 1 and other.evaluate(1)['torso_pck/PCK@0.2'] == 0


@pytest.mark.parametrize('arguments, message', [
    (dict(thr=0), 'thr=0 must be'),
    (dict(thr=float('nan')), 'thr=nan must be'),
    (dict(thr='0.2'), "thr='0.2' must be"),
    (dict(torso='head'), "torso='head' must be two"),
    (dict(torso=['head']), "torso=.'head'. must be two"),
    (dict(torso=[['head'], []]), 'torso=.* must be two'),
    (dict(torso=[1, 2]), r'torso=\[1, 2\] must be two'),
    (dict(torso=('head', ['head'])), 'torso=.* must be two different ends'),
])
def test_arguments_that_make_no_sense_are_named(arguments, message):
    with pytest.raises(ValueError, match=f'^{message}'):
        build(**arguments)


@pytest.mark.parametrize('names, torso, message', [
    (PENN, ('head', ['left_hip', 'tail']), r'^torso=.*: tail is not among the keypoints head, left_shoulder'),
    (['nose', 'tail'], None, r'^there is no torso among the keypoints nose, tail: name both of its ends'),
    ([], None, 'has no names of keypoints'),
])
def test_names_that_the_dataset_lacks_are_listed(names, torso, message):
    with pytest.raises(ValueError, match=message):
        evaluate(random_samples(len(names)), names, torso=torso)


def test_poses_that_do_not_match_the_labels_are_an_error():
    two = sample(np.zeros((1, 13, 2)), np.zeros((2, 13, 2)), np.ones((1, 13)))
    with pytest.raises(ValueError, match=r'^the model predicts 2 poses of 13 keypoints in 0001\.jpg, and the dataset '
                                         r'has 1 of 13; TorsoPCKAccuracy is for top-down'):
        evaluate([two])
    with pytest.raises(ValueError, match=r'metainfo names 13 keypoints, and the labels of 0001\.jpg have 17'):
        evaluate(random_samples(17))
