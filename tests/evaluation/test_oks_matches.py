import numpy as np
import pytest

from clamp_mmpose.evaluation.oks_matches import match_category, restrict_instance, restrict_prediction

CATEGORY = dict(id=1, name='cat')


def instance(*points, **changes):
    keypoints = [value for point in points for value in point]
    return dict(dict(id=1, image_id=5, category_id=1, bbox=[0, 0, 100, 100], area=10000, iscrowd=0,
                     num_keypoints=sum(point[2] > 0 for point in points), keypoints=keypoints), **changes)


def prediction(*points, **changes):
    found = instance(*points, score=0.5)
    del found['num_keypoints'], found['iscrowd']
    return dict(found, **changes)


def match(instances, predictions, iou_type='keypoints'):
    return match_category(CATEGORY, instances, predictions, sigmas=np.array([0.05]), iou_type=iou_type, use_area=True)


def test_the_restricted_instance_has_one_keypoint_its_box_and_its_area():
    whole = instance((1, 2, 2), (3, 4, 0), (5, 6, 1))
    assert restrict_instance(whole, 2) == dict(whole, keypoints=[5, 6, 1], num_keypoints=1)
    assert whole['keypoints'][:3] == [1, 2, 2]


@pytest.mark.parametrize('iou_type', ['keypoints', 'keypoints_crowd'])
def test_an_instance_without_the_label_does_not_count(iou_type):
    whole = instance((1, 2, 2), (0, 0, 0))
    found = prediction((1, 2, 0.9), (80, 80, 0.9))
    matches = match([restrict_instance(whole, 1)], [restrict_prediction(found, 1)], iou_type)
    assert np.isnan(matches.average_precision) and not len(matches.instance)
    # Nor is its prediction a wrong one.
    assert not matches.hit.any() and not matches.wrong.any()
    assert match([restrict_instance(whole, 0)], [restrict_prediction(found, 0)], iou_type).average_recall == 1


def test_an_instance_that_crowdpose_leaves_out_has_no_keypoints_either():
    """Its num_keypoints counts those in sight."""
    hidden = instance((1, 2, 1), num_keypoints=0)
    found = [restrict_prediction(prediction((1, 2, 0.9)), 0)]
    assert not len(match([restrict_instance(hidden, 0)], found, 'keypoints_crowd').instance)
    assert len(match([restrict_instance(hidden, 0)], found).instance) == 1


def test_a_keypoint_with_a_score_of_zero_is_predicted_unless_all_have_zero():
    truth = [restrict_instance(instance((1, 2, 2), (50, 50, 2)), 0)]
    assert match(truth, [restrict_prediction(prediction((1, 2, 0), (50, 50, 0.3)), 0)]).average_recall == 1
    assert match(truth, [restrict_prediction(prediction((1, 2, 0), (50, 50, 0)), 0)]).average_recall == 0


@pytest.mark.parametrize('point', [(np.nan, 2), (1, np.inf), (-np.inf, np.nan)])
def test_a_keypoint_that_is_no_number_is_missed(point):
    truth = [restrict_instance(instance((1, 2, 2), (50, 50, 2)), 0)]
    found = match(truth, [restrict_prediction(prediction((*point, 0.5), (50, 50, 0.3)), 0)])
    assert found.average_precision == found.average_recall == 0 and found.wrong.all()


def test_predictions_come_in_the_order_of_their_scores():
    truth = [instance((1, 2, 2), id=1, image_id=5), instance((1, 2, 2), id=2, image_id=6)]
    found = [prediction((1, 2, 1), id=1, image_id=6, score=0.3), prediction((90, 90, 1), id=2, image_id=5, score=0.9),
             prediction((1, 2, 1), id=3, image_id=5, score=0.6)]
    matches = match(truth, found)
    np.testing.assert_array_equal(matches.image, [5, 5, 6])
    np.testing.assert_array_equal(matches.hit[0], [False, True, True])
    np.testing.assert_array_equal(matches.wrong[0], [True, False, False])


def test_no_instance_and_no_prediction_is_nothing_to_measure():
    assert np.isnan(match([], []).average_precision)
    assert np.isnan(match([], [prediction((1, 2, 1))]).average_recall)
    assert match([instance((1, 2, 2))], []).average_precision == 0
