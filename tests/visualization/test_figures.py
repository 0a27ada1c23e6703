import dataclasses

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from clamp_mmpose.visualization import PoseView, draw_pose_panel, draw_score_maps
from clamp_mmpose.visualization.score_map import blend

NAMES = [f'point {index}' for index in range(17)]
META = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/ap10k.py'))


@pytest.fixture
def view():
    rng = np.random.default_rng(0)
    points = rng.uniform(10, 80, (17, 2))
    return PoseView(
        name='animal.jpg',
        image=np.full((96, 90, 3), 127, np.uint8),
        keypoints=points,
        visible=np.ones(17),
        predicted=points + 2,
        scores=np.ones(17),
        score_map=rng.normal(size=(17, 4, 4)),
        upsampled=rng.normal(size=(17, 24, 24)),
        heatmap=rng.normal(size=(17, 24, 24)))


def titles(figure):
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def picture(figure, column):
    return np.asarray(figure.axes[column].images[0].get_array())


def test_panel_has_truth_prediction_and_the_named_maps(view):
    figure = draw_pose_panel([view, view], [3, 5], NAMES, META)
    assert titles(figure) == ['ground truth', 'prediction', 'score map\npoint 3', 'score map\npoint 5']
    assert len(figure.axes) == 2 * 4
    np.testing.assert_array_equal(picture(figure, 3), blend(view.image, view.upsampled[5]))


def test_panel_shows_the_cosines_where_nothing_is_upsampled(view):
    figure = draw_pose_panel([dataclasses.replace(view, upsampled=None)], [3], NAMES, META)
    np.testing.assert_array_equal(picture(figure, 2), blend(view.image, view.score_map[3]))


def test_panel_without_score_maps_has_two_columns(view):
    plain = dataclasses.replace(view, score_map=None, upsampled=None, heatmap=None)
    assert titles(draw_pose_panel([plain], [3, 5], NAMES, META)) == ['ground truth', 'prediction']


def test_weak_predictions_and_missing_labels_are_left_out(view):
    weak = dataclasses.replace(view, visible=np.zeros(17), scores=np.full(17, 0.2))
    figure = draw_pose_panel([weak], [], NAMES, META)
    assert (picture(figure, 0) == 127).all() and (picture(figure, 1) == 127).all()
    figure = draw_pose_panel([weak], [], NAMES, META, kpt_thr=0.1)
    assert not (picture(figure, 1) == 127).all()


@pytest.mark.parametrize('threshold', [-1.0, 0.0, 5.0])
def test_the_threshold_of_predictions_changes_no_label(view, threshold):
    some = dataclasses.replace(view, visible=np.arange(17) % 2)
    drawn = [picture(draw_pose_panel([some], [], NAMES, META, kpt_thr=value), 0) for value in (0.3, threshold)]
    np.testing.assert_array_equal(*drawn)
    assert not (drawn[0] == 127).all()


def test_a_point_outside_the_crop_leaves_the_picture_in_place(view):
    far = view.keypoints.copy()
    far[4] = (-300, 40)
    figure = draw_pose_panel([dataclasses.replace(view, keypoints=far)], [], NAMES, META)
    assert picture(figure, 0).shape == view.image.shape
    assert (picture(figure, 0)[:3] == 127).all()


def test_page_of_maps_has_a_row_for_each_kind_there_is(view):
    assert len(draw_score_maps(view, [0, 1, 2], NAMES).axes) == 3 * 3
    assert len(draw_score_maps(dataclasses.replace(view, upsampled=None, heatmap=None), [0, 1, 2], NAMES).axes) == 3


def test_page_of_maps_needs_maps(view):
    with pytest.raises(ValueError, match='PromptLearnerNeck'):
        draw_score_maps(dataclasses.replace(view, score_map=None, upsampled=None, heatmap=None), [0], NAMES)


def test_the_highest_value_is_the_brightest():
    values = np.zeros((4, 4))
    values[1, 2] = 1
    brightness = blend(np.full((64, 64, 3), 100, np.uint8), values).sum(-1)
    row, column = np.unravel_index(brightness.argmax(), brightness.shape)
    assert 16 <= row < 32 and 32 <= column < 48


def test_noise_is_not_stretched_into_an_answer():
    image = np.full((8, 8, 3), 100, np.uint8)
    flat, noise, answer = np.full((4, 4), 0.3), np.full((4, 4), 0.3), np.full((4, 4), 0.3)
    noise[1, 2], answer[1, 2] = 0.31, 0.4
    assert np.ptp(blend(image, flat)[..., 0]) == 0
    assert np.ptp(blend(image, noise)[..., 0]) < 0.2 < np.ptp(blend(image, answer)[..., 0])
