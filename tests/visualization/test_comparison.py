import dataclasses

import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.structures import PoseDataSample
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from clamp_mmpose.visualization import PoseView, compute_oks, describe_accuracy, draw_comparison, mean_error

META = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/ap10k.py'))


def sample(truth, predicted, visible):
    made = PoseDataSample(gt_instances=InstanceData(), pred_instances=InstanceData())
    made.gt_instances.keypoints = truth[None].astype(np.float32)
    made.gt_instances.keypoints_visible = visible[None].astype(np.float32)
    made.pred_instances.keypoints = predicted[None].astype(np.float32)
    made.set_metainfo(dict(input_center=np.array([48.0, 48.0]), input_scale=np.array([96.0, 96.0])))
    return made


def random_sample(seed, hidden=()):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(10, 80, (17, 2))
    visible = np.ones(17)
    visible[list(hidden)] = 0
    return sample(truth, truth + rng.normal(0, 4, (17, 2)), visible)


def oks_by_coco(one, area):
    """COCO's own evaluation of this one instance."""
    labels = np.column_stack([one.gt_instances.keypoints[0], 2 * one.gt_instances.keypoints_visible[0]]).ravel()
    points = np.column_stack([one.pred_instances.keypoints[0], np.ones(17)]).ravel()
    truth = COCO()
    truth.dataset = dict(
        images=[dict(id=1, width=96, height=96)],
        categories=[dict(id=1, name='animal')],
        annotations=[dict(id=1, image_id=1, category_id=1, iscrowd=0, area=area, bbox=[0, 0, 96, 96],
                          num_keypoints=int(one.gt_instances.keypoints_visible.sum()), keypoints=labels.tolist())])
    truth.createIndex()
    found = truth.loadRes([dict(image_id=1, category_id=1, keypoints=points.tolist(), score=1.0)])
    evaluation = COCOeval(truth, found, 'keypoints', META['sigmas'])
    evaluation.params.imgIds = [1]
    evaluation.evaluate()
    return evaluation.ious[1, 1][0, 0]


@pytest.mark.parametrize('hidden', [(), (0, 3, 16), range(1, 17)])
def test_oks_is_that_of_coco(hidden):
    for seed in range(3):
        one = random_sample(seed, hidden)
        assert compute_oks(one, 1234.5, META['sigmas']) == pytest.approx(oks_by_coco(one, 1234.5), abs=1e-6)


def test_a_perfect_prediction_has_an_oks_of_1_and_no_error():
    truth = np.full((17, 2), 30.0)
    perfect = sample(truth, truth, np.ones(17))
    assert compute_oks(perfect, 900.0, META['sigmas']) == 1
    assert mean_error(perfect) == 0


def test_the_mean_error_is_over_the_labelled_keypoints_in_pixels():
    truth, visible = np.full((17, 2), 30.0), np.zeros(17)
    predicted = np.full((17, 2), 300.0)
    predicted[:2] = [(33, 34), (30, 39)]
    visible[:2] = 1
    assert mean_error(sample(truth, predicted, visible)) == pytest.approx(7)


def test_what_is_printed_depends_on_what_is_known():
    one = random_sample(0)
    oks = compute_oks(one, 900.0, META['sigmas'])
    assert describe_accuracy(one, 900.0, META['sigmas']) == f'OKS {oks:.2f}'
    for area, sigmas in ((None, META['sigmas']), (900.0, None)):
        assert describe_accuracy(one, area, sigmas) == f'mean error {mean_error(one):.1f} px'
    assert describe_accuracy(random_sample(0, range(17)), 900.0, META['sigmas']) == 'no label'
    assert np.isnan(compute_oks(random_sample(0, range(17)), 900.0, META['sigmas']))
    del one.gt_instances
    one.gt_instances = InstanceData()
    assert describe_accuracy(one, None, META['sigmas']) == ''


def view(seed):
    one = random_sample(seed)
    return PoseView(
        name=f'{seed}.jpg',
        image=np.full((96, 96, 3), 127, np.uint8),
        keypoints=one.gt_instances.keypoints[0],
        visible=np.ones(17),
        predicted=np.zeros((17, 2)),
        scores=np.full(17, 0.5),
        sample=one)


def test_models_stand_side_by_side_with_their_own_accuracy():
    predictions = dict(baseline=[view(0), view(1)], CLAMP=[view(2), view(3)])
    figure = draw_comparison(predictions, META, areas=[900.0, 400.0])
    rows = np.array(figure.axes).reshape(2, 3)
    assert [ax.get_title() for ax in rows[0]] == ['ground truth', 'baseline', 'CLAMP']
    for row, area, truth, *seeds in ((0, 900.0, '2.jpg', 0, 2), (1, 400.0, '3.jpg', 1, 3)):
        expected = [describe_accuracy(random_sample(seed), area, META['sigmas']) for seed in seeds]
        assert [ax.get_xlabel() for ax in rows[row]] == [truth, *expected]


def test_another_models_prediction_lies_where_it_is_in_the_image():
    """The crop of the baseline is half as large a part of the image; all is drawn on the crop of the last model."""
    own, other = view(0), view(0)
    other.sample.set_metainfo(dict(input_scale=np.array([48.0, 48.0])))
    figure = draw_comparison(dict(baseline=[other], model=[own]), META, areas=[900.0])
    left, right = (np.asarray(ax.images[0].get_array()) for ax in figure.axes[1:])
    np.testing.assert_array_equal(left, right)
    assert not (left == 127).all()


def test_weak_predictions_are_not_drawn_and_still_count():
    figure = draw_comparison(dict(model=[view(0)]), META, areas=[900.0], kpt_thr=0.6)
    assert (np.asarray(figure.axes[1].images[0].get_array()) == 127).all()
    assert figure.axes[1].get_xlabel() == describe_accuracy(random_sample(0), 900.0, META['sigmas'])


@pytest.mark.parametrize('threshold', [0.0, 5.0])
def test_the_threshold_of_predictions_changes_no_label(threshold):
    some = dataclasses.replace(view(0), visible=np.arange(17) % 2)
    figures = [draw_comparison(dict(model=[some]), META, areas=[900.0], kpt_thr=value) for value in (0.3, threshold)]
    drawn = [np.asarray(figure.axes[0].images[0].get_array()) for figure in figures]
    np.testing.assert_array_equal(*drawn)
    assert not (drawn[0] == 127).all()


def test_images_without_labels_have_no_ground_truth():
    one = view(0)
    one.sample.gt_instances = InstanceData()
    figure = draw_comparison(dict(model=[one]), META, areas=[None])
    assert figure.axes[0].get_title() == 'image' and figure.axes[1].get_xlabel() == ''
