import copy

import numpy as np
import pytest
from animal_results import NAMES, SPECIES, breakdown, make_animals, only
from mmpose.evaluation.metrics import PCKAccuracy

from clamp_mmpose.evaluation.keypoint_hits import find_hits, pair_by_box


def pck_accuracy(samples, truth, threshold):
    """MMPose's own, which reads the ground truth from the samples."""
    metric = PCKAccuracy(thr=threshold, norm_item='bbox')
    for sample in samples:
        annotation = truth[sample['raw_ann_info']['id']]
        points = np.reshape(annotation['keypoints'], (1, -1, 3))
        x, y, w, h = annotation['bbox']
        sample['gt_instances'] = dict(keypoints=points[..., :2], keypoints_visible=points[..., 2] > 0,
                                      bboxes=np.array([[x, y, x + w, y + h]]))
    metric.process([None] * len(samples), samples)
    return metric.evaluate(len(samples))['PCK']


@pytest.mark.parametrize('threshold', [0.05, 0.2])
def test_pck_of_a_species_is_mmposes_and_a_family_is_the_mean_of_its_species(tmp_path, threshold):
    truth, samples = make_animals(num_images=40)
    rows = breakdown(truth, copy.deepcopy(samples), tmp_path, bootstrap=0, nms_mode='none', pck_thr=threshold)
    annotations = {entry['id']: entry for entry in truth['annotations']}
    expected = {}
    for id_, (name, _) in SPECIES.items():
        expected[name] = pck_accuracy(only(truth, samples, id_)[1], annotations, threshold)
        np.testing.assert_allclose(float(rows['species', name]['PCK']), expected[name], rtol=1e-12)
    np.testing.assert_allclose(
        float(rows['family', 'Felidae']['PCK']), (expected['cat'] + expected['lion']) / 2, rtol=1e-12)
    np.testing.assert_allclose(float(rows['all', '']['PCK']), np.mean([*expected.values()]), rtol=1e-12)


def test_pck_of_a_keypoint_counted_by_hand_and_measured_by_two_others(tmp_path):
    truth, samples = make_animals(num_images=40, species=(1, ))
    rows = breakdown(truth, copy.deepcopy(samples), tmp_path, bootstrap=0, nms_mode='none', pck_norm=NAMES[2:])
    for index, name in enumerate(NAMES):
        found = []
        for sample in samples:
            points = np.reshape(sample['raw_ann_info']['keypoints'], (-1, 3))
            if points[2, 2] and points[3, 2] and points[index, 2]:
                unit = np.hypot(*(points[2, :2] - points[3, :2]))
                error = np.hypot(*(sample['pred_instances']['keypoints'][0, index] - points[index, :2]))
                found.append(error < 0.2 * unit)
        assert 5 < len(found) < len(samples)
        np.testing.assert_allclose(float(rows['keypoint', name]['PCK']), np.mean(found))


def entry(box, keypoints=((0, 0), ), image=1, visible=2):
    return dict(image_id=image, bbox=list(box), keypoints=[value for x, y in keypoints for value in (x, y, visible)])


def test_a_prediction_belongs_to_one_instance_of_its_image_by_the_boxes():
    instances = [entry((0, 0, 10, 10)), entry((4, 0, 10, 10)), entry((0, 0, 10, 10), image=2), entry((90, 90, 5, 5))]
    predictions = [entry((5, 0, 10, 10)), entry((3, 0, 10, 10)), entry((50, 50, 10, 10), image=2)]
    # Both overlap the second instance more than the first, but each instance has one.
    assert pair_by_box(instances, predictions) == {0: 1, 1: 0}


def test_hits_are_near_enough_and_missing_predictions_are_misses():
    box = (0, 0, 10, 20)  # 0.2 of the longer side: 4 px
    instances = [entry(box, [(1, 1), (9, 9)]), entry((100, 100, 10, 10), [(0, 0), (1, 1)]),
                 entry(box, [(1, 1), (9, 9)], image=2, visible=0)]
    predictions = [entry(box, [(1, 4.99), (9, 13)]), entry(box, [(1, 1), (9, 9)], image=2)]
    np.testing.assert_array_equal(find_hits(instances, predictions, 0.2), [[1, 0], [0, 0], [-1, -1]])
    np.testing.assert_array_equal(find_hits(instances, [], 0.2), [[0, 0], [0, 0], [-1, -1]])


@pytest.mark.parametrize('box', [(0, 0, 0, 0), (0, 0, -5, -5), (0, 0, np.nan, np.nan)])
def test_an_instance_without_a_box_does_not_count(box):
    np.testing.assert_array_equal(find_hits([entry(box)], [entry((0, 0, 10, 10))], 0.2), [[-1]])


def test_a_prediction_that_is_no_number_is_a_miss():
    box = (0, 0, 10, 10)
    hits = find_hits([entry(box, [(1, 1), (2, 2)])], [entry(box, [(np.nan, 1), (2, 2)])], 0.2)
    np.testing.assert_array_equal(hits, [[0, 1]])
    assert not find_hits([entry(box)], [entry((np.nan, ) * 4)], 0.2).any()
