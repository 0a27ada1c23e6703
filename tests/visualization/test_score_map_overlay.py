import dataclasses

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from clamp_mmpose.visualization import PoseView, draw_score_map_overlay, lighten, score_limits


def view(num_keypoints=3, **changes):
    rng = np.random.default_rng(num_keypoints)
    points = rng.uniform(10, 80, (num_keypoints, 2))
    made = PoseView(
        name='animal.jpg',
        image=np.full((96, 90, 3), 127, np.uint8),
        keypoints=points,
        visible=np.ones(num_keypoints),
        predicted=points,
        scores=np.ones(num_keypoints),
        score_map=rng.uniform(-0.3, 0.3, size=(num_keypoints, 4, 4)),
        upsampled=rng.uniform(0, 0.8, size=(num_keypoints, 24, 24)))
    return dataclasses.replace(made, **changes)


def names(count):
    return [f'point {index}' for index in range(count)]


def cells(figure):
    """The pictures of the page by their titles; the colour bar has none."""
    return {ax.get_title(): np.asarray(ax.images[0].get_array()) for ax in figure.axes if ax.get_title()}


@pytest.mark.parametrize('count', [1, 2, 17, 30])
def test_every_name_has_a_cell_whatever_their_number(count):
    assert list(cells(draw_score_map_overlay(view(count), range(count), names(count)))) == ['image', *names(count)]


def test_a_cell_shows_the_upsampled_map_of_its_own_keypoint():
    one = view()
    pictures = cells(draw_score_map_overlay(one, [2, 0], names(3), limits=(0, 0.8)))
    assert list(pictures) == ['image', 'point 2', 'point 0']
    np.testing.assert_array_equal(pictures['point 2'], lighten(one.image, one.upsampled[2], 0, 0.8))


def test_raw_shows_the_cosines_and_so_does_a_model_that_does_not_upsample():
    one = view()
    raw = cells(draw_score_map_overlay(one, [1], names(3), raw=True, limits=(0, 0.3)))['point 1']
    plain = cells(draw_score_map_overlay(dataclasses.replace(one, upsampled=None), [1], names(3), limits=(0, 0.3)))
    np.testing.assert_array_equal(raw, lighten(one.image, one.score_map[1], 0, 0.3))
    np.testing.assert_array_equal(raw, plain['point 1'])


def test_the_bar_states_what_is_shown_and_its_scale():
    figure = draw_score_map_overlay(view(), [0], names(3), limits=(0.1, 0.6))
    bar = figure.axes[-1]
    assert 'spatial loss' in bar.get_ylabel() and bar.get_ylim() == (0.1, 0.6)
    assert 'cosine' in draw_score_map_overlay(view(), [0], names(3), raw=True).axes[-1].get_ylabel()


@pytest.mark.parametrize('raw', [False, True])
@pytest.mark.parametrize('count', [1, 2, 17])
def test_all_words_beside_the_bar_fit_the_page(count, raw):
    figure = draw_score_map_overlay(view(count), range(count), names(count), raw=raw)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    words = figure.axes[-1].yaxis.label.get_window_extent(canvas.get_renderer())
    assert figure.bbox.y0 <= words.y0 and words.y1 <= figure.bbox.y1
    assert words.x1 <= figure.bbox.x1


def test_brighter_is_higher_whatever_lies_under_it():
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    low, middle, high = (np.full((4, 4), value) for value in (-5.0, 0.5, 7.0))
    for image in (black, white):
        none, half, full = (lighten(image, values, 0, 1).mean() for values in (low, middle, high))
        assert none < half < full <= 1
    assert lighten(black, high, 0, 1).min() > lighten(white, low, 0, 1).max()


def test_all_views_share_one_scale_with_the_highest_score_on_top():
    views = [view(), view(upsampled=np.full((3, 24, 24), 0.9))]
    assert score_limits(views) == (0, 0.9)
    low, high = score_limits(views, raw=True)
    maps = np.concatenate([one.score_map for one in views])
    assert low == np.median(maps) and high == maps.max()
    assert score_limits([dataclasses.replace(one, upsampled=None) for one in views]) == (low, high)


def test_noise_is_not_stretched_into_an_answer():
    assert score_limits([view(upsampled=np.full((3, 24, 24), 0.01))]) == (0, 0.1)
    assert score_limits([view(upsampled=np.full((3, 24, 24), -0.4))]) == (0, 0.1)


def test_a_view_without_score_maps_names_the_parts_that_make_them():
    with pytest.raises(ValueError, match=r'animal\.jpg.*PromptLearnerNeck'):
        draw_score_map_overlay(view(score_map=None, upsampled=None), [0], names(3))
