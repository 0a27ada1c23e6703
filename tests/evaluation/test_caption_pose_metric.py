import json
import math

import numpy as np
import pytest
from caption_results import NAMES, evaluate, make_sample
from mmengine.logging import MMLogger

K = len(NAMES)
METRIC = dict(type='mmpose.CaptionPoseMetric')


@pytest.fixture
def log(monkeypatch):
    """What the metric has logged, as one text."""
    lines = []
    for level in ('info', 'warning'):
        monkeypatch.setattr(MMLogger.get_current_instance(), level, lines.append)
    return lambda: '\n'.join(map(str, lines))


def random_samples(count=40, seed=0, **options):
    """Poses of mixed quality in images and boxes of any size; a third of the captions lack a joint."""
    rng = np.random.default_rng(seed)
    samples, facts = [], []
    for index in range(count):
        label = rng.uniform(0, 383, (K, 2))
        spread = rng.choice([0, 0.3, 2, 8, 40])
        predicted = np.rint(label) + np.rint(rng.normal(0, spread, (K, 2))) if spread else np.rint(label)
        visible = rng.random(K) < 0.8
        found = rng.random(K) < 0.9
        samples.append(make_sample(
            label, np.where(found[:, None], predicted, 0), visible, found=found, caption='any',
            scale=rng.uniform(50, 2000, 2), center=rng.uniform(0, 3000, 2), index=index, **options))
        facts.append((label, predicted, visible, found))
    return samples, facts


def oracle(facts, thresholds, criterion, l1):
    """Joint by joint in plain Python, from METHODS of the paper."""
    counted = parsed = whole = exact = 0
    offsets, right = [[] for _ in range(K)], [0] * len(thresholds)
    for label, predicted, visible, found in facts:
        whole += all(found)
        joints = [k for k in range(K) if visible[k]]
        if not joints:
            continue
        counted += 1
        if not all(found[k] for k in joints):
            continue
        parsed += 1
        own = []
        for k in joints:
            dx, dy = abs(label[k][0] - predicted[k][0]), abs(label[k][1] - predicted[k][1])
            own.append(dx + dy if l1 else math.hypot(dx, dy))
            offsets[k].append(own[-1])
        measure = max(own) if criterion == 'max' else sum(own) / len(own)
        for place, threshold in enumerate(thresholds):
            right[place] += measure <= threshold
        exact += all(round(float(label[k][axis])) == round(float(predicted[k][axis]))
                     for k in joints for axis in (0, 1))
    pooled = [value for part in offsets for value in part]
    return dict(
        {'caption/MAE': sum(pooled) / len(pooled), 'caption/exact': exact / counted,
         'caption/complete': parsed / counted, 'caption/parse_rate': whole / len(facts)},
        **{f'caption/accuracy@{threshold}': count / counted for threshold, count in zip(thresholds, right)},
        **{f'caption/MAE/{name}': sum(part) / len(part) for name, part in zip(NAMES, offsets)})


@pytest.mark.parametrize('criterion', ['mean', 'max'])
@pytest.mark.parametrize('distance', ['euclidean', 'l1'])
def test_every_number_against_a_loop(criterion, distance):
    samples, facts = random_samples()
    found = evaluate(dict(METRIC, criterion=criterion, distance=distance, per_keypoint=True), samples)
    expected = oracle(facts, (25, 5, 1), criterion, distance == 'l1')
    assert 0 < expected['caption/exact'] < expected['caption/complete'] < 1
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=2e-3 if 'MAE' in name else 0, err_msg=name)


def test_the_two_criteria_and_the_two_distances_differ():
    label = np.full((K, 2), 100.0)
    predicted = label.copy()
    predicted[1] += (15, 20)  # 25 pixels away, 35 along the axes
    sample = make_sample(label, predicted)
    assert evaluate(dict(METRIC, thresholds=[24, 6.25]), [sample]) == pytest.approx({
        'caption/MAE': 6.25, 'caption/accuracy@24': 1, 'caption/accuracy@6.25': 1, 'caption/exact': 0}, abs=1e-5)
    assert evaluate(dict(METRIC, criterion='max', thresholds=24, distance='l1'), [sample]) == pytest.approx({
        'caption/MAE': 35 / 4, 'caption/accuracy@24': 0, 'caption/exact': 0}, abs=1e-5)


def test_a_threshold_is_met_by_poses_at_it():
    label = np.full((K, 2), 100.0)
    found = evaluate(dict(METRIC, thresholds=(5, 4.99)), [make_sample(label, label + np.array([3, 4]))])
    assert found['caption/accuracy@5'] == 1 and found['caption/accuracy@4.99'] == 0


def test_models_without_captions_have_no_parse_rate():
    samples, _ = random_samples()
    for sample in samples:
        del sample.pred_caption
        sample.pred_instances.keypoint_scores[:] = 0  # of a heatmap that is empty
    found = evaluate(METRIC, samples)
    assert 'caption/parse_rate' not in found and found['caption/MAE'] > 20


@pytest.mark.parametrize('size', [(384, 384), (192, 256), (128, 64)])
@pytest.mark.parametrize('scale', [(1280, 720), (31.5, 47), (4000, 3000)])
def test_labels_between_two_pixels_count_as_either(size, scale):
    """MPII's whole pixels often come to lie in the middle of two; the affine decides by its last bit."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, min(size) - 2, (K, 2)) + 0.5
    for step in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5)):
        sample = make_sample(label, label + np.array(step), scale=scale, size=size)
        assert evaluate(METRIC, [sample])['caption/exact'] == 1
    sample = make_sample(label, label + np.array([0.5, 1.5]), scale=scale, size=size)
    assert evaluate(METRIC, [sample])['caption/exact'] == 0


def test_a_label_outside_is_exact_at_the_border_and_wrong_by_its_distance():
    label = np.array([[-30.0, 100], [383.8, 100], [100, 500], [100, 100]])
    found = evaluate(METRIC, [make_sample(label, np.clip(label, 0, 383))])
    assert found['caption/exact'] == 1
    assert found['caption/MAE'] == pytest.approx((30 + 0.8 + 117) / 4, abs=1e-3)


def test_keypoints_and_poses_without_label_do_not_count():
    label, off = np.full((K, 2), 50.0), np.full((K, 2), 300.0)
    partly = make_sample(label, [label[0], label[0], *off[:2]], [1, 1, 0, 0], found=[1, 1, 1, 0], caption='part')
    nothing = make_sample(label, off, [0] * K, found=[0] * K, caption='rubbish')
    found = evaluate(METRIC, [partly, nothing])
    assert found == pytest.approx({
        'caption/MAE': 0, 'caption/accuracy@25': 1, 'caption/accuracy@5': 1, 'caption/accuracy@1': 1,
        'caption/exact': 1, 'caption/complete': 1, 'caption/parse_rate': 0}, abs=1e-4)


@pytest.mark.parametrize('samples', [
    [],
    [make_sample(np.ones((K, 2)), np.ones((K, 2)), [0] * K)],
], ids=['no samples', 'no labels'])
def test_nothing_to_measure_is_nan(samples):
    found = evaluate(METRIC, samples)
    assert set(found) == {'caption/MAE', 'caption/exact', *(f'caption/accuracy@{value}' for value in (25, 5, 1))}
    assert all(math.isnan(value) for value in found.values())


def test_captions_that_do_not_parse_are_incorrect_and_have_no_error():
    label = np.full((K, 2), 50.0)
    right = make_sample(label, label, caption='right')
    incomplete = make_sample(label, [*label[:3], (0, 0)], found=[1, 1, 1, 0], caption='incomplete')
    rubbish = make_sample(label, np.zeros((K, 2)), found=[0] * K, caption='rubbish')
    found = evaluate(dict(METRIC, thresholds=[1000]), [right, incomplete, rubbish])
    assert found == pytest.approx({'caption/MAE': 0, 'caption/accuracy@1000': 1 / 3, 'caption/exact': 1 / 3,
                                   'caption/complete': 1 / 3, 'caption/parse_rate': 1 / 3}, abs=1e-4)
    nothing = evaluate(METRIC, [rubbish])
    assert math.isnan(nothing['caption/MAE'])
    assert nothing['caption/accuracy@25'] == nothing['caption/complete'] == nothing['caption/exact'] == 0


def test_a_prediction_that_is_no_number_is_none():
    label = np.full((K, 2), 50.0)
    predicted = label.copy()
    predicted[2] = np.nan
    found = evaluate(METRIC, [make_sample(label, predicted), make_sample(label, label)])
    assert found['caption/accuracy@25'] == found['caption/exact'] == 0.5 and found['caption/MAE'] < 1e-3


@pytest.mark.parametrize('form', ['column', 'with weights', 'bool'])
def test_visibility_in_any_form_of_mmpose(form):
    label, off = np.full((K, 2), 50.0), np.full((K, 2), 300.0)
    sample = make_sample(label, [label[0], off[0], off[0], off[0]], [1, 0, 0, 0])
    visible = sample.gt_instances.keypoints_visible
    sample.gt_instances.keypoints_visible = {
        'column': visible[..., None], 'with weights': np.stack([visible, np.ones_like(visible)], -1),
        'bool': visible.astype(bool)}[form]
    assert evaluate(METRIC, [sample])['caption/accuracy@1'] == 1


def test_the_log_has_a_table_of_the_keypoints(log):
    label = np.full((K, 2), 50.0)
    samples = [make_sample(label, label + np.array([[0, 0], [0, 3], [0, 0], [0, 30]]), [1, 1, 0, 1]),
               make_sample(label, label, [1, 0, 0, 1], found=[1, 1, 1, 0], caption='x')]
    evaluate(METRIC, samples)
    text = log()
    lines = [line.split() for line in text.splitlines()]
    assert text.startswith('2 poses with labels; 1 captions have all of them, the others are incorrect and not in the '
                           'MAE; 0 of 1 captions parse')
    assert lines[2] == ['head', '2', '1.000', '0.000', '1.000', '1.000', '1.000', '1.000']
    assert lines[3] == ['hand', '1', '1.000', '3.000', '1.000', '1.000', '0.000', '0.000']
    assert lines[4] == ['foot', '0', '-', '-', '-', '-', '-', '-']
    assert lines[5] == ['tail', '2', '0.500', '30.000', '0.000', '0.000', '0.000', '0.000']
    assert lines[1][2:4] == ['in', 'caption']


@pytest.mark.parametrize('options, message', [
    (dict(criterion='median'), "criterion='median' must be 'mean' or 'max'"),
    (dict(distance='l2'), "distance='l2' must be 'euclidean' or 'l1'"),
    (dict(thresholds=[]), r'thresholds=\[\] must be one or more distances'),
    (dict(thresholds=[-1]), r'thresholds=\[-1\] must be'),
    (dict(thresholds='25'), r"thresholds=\['2', '5'\] must be"),
])
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(dict(METRIC, **options), [])


def test_a_pipeline_that_cuts_out_nothing_is_told():
    sample = make_sample(np.ones((K, 2)), np.ones((K, 2)))
    del sample.input_scale
    with pytest.raises(ValueError, match=r'input_scale is missing .*TopdownAffine'):
        evaluate(METRIC, [sample])


def test_another_number_of_keypoints_than_the_labels():
    sample = make_sample(np.ones((K, 2)), np.ones((K, 2)))
    sample.gt_instances.keypoints = np.ones((1, 7, 2), np.float32)
    with pytest.raises(ValueError, match='predicts 1 poses of 4 keypoints, and the dataset has 1 of 7'):
        evaluate(METRIC, [sample])


def test_metrics_can_be_written_and_read(tmp_path):
    samples, _ = random_samples(4)
    found = evaluate(dict(METRIC, per_keypoint=True), samples)
    assert json.loads(json.dumps(found)) == found


def test_samples_that_fill_the_last_batch_of_several_processes_are_dropped():
    """MMEngine cuts the results to the size of the dataset: there must be one for each sample."""
    from mmpose.registry import METRICS
    samples, _ = random_samples(6)
    metric = METRICS.build(METRIC)
    metric.dataset_meta = dict(num_keypoints=K, keypoint_id2name=dict(enumerate(NAMES)))
    metric.process(None, [sample.to_dict() for sample in (*samples, *samples[:2])])
    assert metric.evaluate(6) == evaluate(METRIC, samples)
