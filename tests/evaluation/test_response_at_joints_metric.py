"""Mean response at the joints."""
import itertools
import math

import numpy as np
import pytest
import torch
from caption_results import evaluate, make_sample
from mmengine.logging import MMLogger
from mmengine.structures import PixelData

from clamp_mmpose.evaluation.metrics import ResponseAtJointsMetric

NAMES = ('nose', 'left_shoulder', 'right_shoulder', 'head_top', 'tail root')
SIZE, CELLS = (48, 64), (12, 16)  # width and height of the input and of the maps


def sample(random, *, visible=None, maps=None, points=None, **kwargs):
    points = random.uniform(-6, 60, (len(NAMES), 2)) if points is None else points
    made = make_sample(points, np.zeros((len(NAMES), 2)), visible, size=SIZE, scale=(150, 200), center=(70, 90),
                       **kwargs)
    maps = random.normal(size=(len(NAMES), *CELLS[::-1])) if maps is None else maps
    made.pred_fields = PixelData(heatmaps=torch.as_tensor(np.asarray(maps, dtype=np.float32)))
    return made


def by_loop(samples, radius=0):
    """keypoint -> values, by plain loops over joints and cells."""
    values = {name: [] for name in NAMES}
    for one in samples:
        center, scale = np.array([70, 90]), np.array([150, 200])
        for index, name in enumerate(NAMES):
            if not one.gt_instances.keypoints_visible[0, index]:
                continue
            x, y = ((one.gt_instances.keypoints[0, index] - (center - scale / 2)) / scale * CELLS)
            column, row = math.floor(x + 0.5), math.floor(y + 0.5)
            field = one.pred_fields.heatmaps[index].tolist()
            greatest = max(max(line) for line in field)
            if not (0 <= column < CELLS[0] and 0 <= row < CELLS[1]):
                continue
            near = []
            for r in range(CELLS[1]):
                for c in range(CELLS[0]):
                    if math.hypot(r - row, c - column) <= radius:
                        near.append(max(field[r][c], 0) / greatest if greatest > 0 else 0.0)
            values[name].append(sum(near) / len(near))
    return values


@pytest.mark.parametrize('radius', [0, 1, 2.5])
def test_it_is_the_mean_of_a_loop(radius):
    random = np.random.default_rng(0)
    samples = [sample(random, visible=random.integers(0, 2, len(NAMES))) for _ in range(30)]
    found, expected = evaluate(ResponseAtJointsMetric(radius, per_keypoint=True), samples, NAMES), by_loop(
        samples, radius)
    shoulders = expected['left_shoulder'] + expected['right_shoulder']
    assert len(shoulders) > 10 and len(expected['left_shoulder']) != len(expected['right_shoulder'])
    for key, values in dict(expected, shoulder=shoulders, head=expected['head_top'],
                            mean=[*itertools.chain(*expected.values())]).items():
        key = key.replace('tail root', 'tail_root') if f'response/{key}' not in found else key
        assert found[f'response/{key}'] == pytest.approx(np.mean(values), rel=1e-5), key


def test_a_map_that_peaks_at_its_joint_responds_with_one():
    random = np.random.default_rng(0)
    points = np.array([[0, 0], [44, 60], [20, 30], [9.9, 10.1], [26, 2]], dtype=float)
    maps = np.full((len(NAMES), *CELLS[::-1]), 1e-5)
    for field, (x, y) in zip(maps, points):
        field[math.floor(y / 4 + 0.5), math.floor(x / 4 + 0.5)] = 3e-3  # as small as a softmax makes it
    found = evaluate(ResponseAtJointsMetric(), [sample(random, maps=maps, points=points)], NAMES)
    assert found['response/mean'] == pytest.approx(1)


def test_size_of_the_response_does_not_matter():
    random = np.random.default_rng(1)
    samples = [sample(random) for _ in range(4)]
    before = evaluate(ResponseAtJointsMetric(), samples, NAMES)
    for one in samples:
        one.pred_fields.heatmaps *= 1e-4
    assert evaluate(ResponseAtJointsMetric(), samples, NAMES) == pytest.approx(before, rel=1e-4, nan_ok=True)


def test_maps_without_response_are_zero_and_joints_without_label_do_not_count():
    random = np.random.default_rng(2)
    points = np.full((len(NAMES), 2), 20.0)
    maps = np.ones((len(NAMES), *CELLS[::-1]))
    maps[1] = 0
    maps[2] = -1
    found = evaluate(ResponseAtJointsMetric(), [sample(random, maps=maps, points=points, visible=[1, 1, 1, 0, 1])],
                     NAMES)
    assert found['response/shoulder'] == 0 and found['response/nose'] == 1 and np.isnan(found['response/head'])
    assert found['response/mean'] == 0.5


def test_a_flat_map_responds_as_strongly_anywhere():
    random, points = np.random.default_rng(3), np.full((len(NAMES), 2), 20.0)
    maps = np.ones((len(NAMES), *CELLS[::-1]))
    maps[1:, 5, 5] = 4  # of the cells, one, and that of the joints
    made = sample(random, maps=maps, points=points, visible=[1, 1, 0, 0, 0])
    found = evaluate(ResponseAtJointsMetric(), [made], NAMES)
    cells = CELLS[0] * CELLS[1]
    assert found['response/mean'] == 1
    assert found['response/anywhere'] == pytest.approx((1 + (1 + (cells - 1) / 4) / cells) / 2)


def test_joints_outside_the_maps_do_not_count():
    random = np.random.default_rng(2)
    points = np.full((len(NAMES), 2), 20.0)
    points[0] = -3, 10
    found = evaluate(ResponseAtJointsMetric(), [sample(random, points=points)], NAMES)
    assert np.isnan(found['response/nose']) and not np.isnan(found['response/mean'])


def test_the_table_has_the_papers_order_and_each_side(monkeypatch):
    said = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'info', said.append)
    evaluate(ResponseAtJointsMetric(), [sample(np.random.default_rng(0))], NAMES)
    (text, ) = [text for text in said if 'response' in text]
    assert [line.split()[0] for line in text.splitlines()[2:]] == [
        'nose', 'head', 'shoulder', 'left_shoulder', 'right_shoulder', 'tail_root', 'mean']


def test_a_model_that_gives_no_maps_is_told():
    made = sample(np.random.default_rng(0))
    del made.pred_fields
    with pytest.raises(ValueError, match='output_heatmaps=True'):
        evaluate(ResponseAtJointsMetric(), [made], NAMES)


def test_boxes_without_labels_are_told():
    made = sample(np.random.default_rng(0))
    made.gt_instances.keypoints[:] = 0
    with pytest.raises(ValueError, match='bbox_file'):
        evaluate(ResponseAtJointsMetric(), [made], NAMES)


def test_other_maps_than_keypoints_are_told():
    made = sample(np.random.default_rng(0), maps=np.ones((3, 16, 12)))
    with pytest.raises(ValueError, match='gives 3 maps'):
        evaluate(ResponseAtJointsMetric(), [made], NAMES)


@pytest.mark.parametrize('radius', [-1, 'far', True, float('nan'), float('inf')])
def test_arguments_that_make_no_sense_are_told(radius):
    with pytest.raises(ValueError, match='radius='):
        ResponseAtJointsMetric(radius)
