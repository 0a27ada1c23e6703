import math

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmpose.registry import MODELS

from clamp_mmpose.testing import tiny_clamp_model
from clamp_mmpose.visualization import choose_similarity, compute_similarity, draw_similarity, mean_similarity

NAMES = [f'point {index}' for index in range(17)]


def build(**changes):
    return MODELS.build(tiny_clamp_model('vit', names=NAMES, **changes)).eval()


def cosines_by_hand(model, sample):
    """Each keypoint's own cell on the 4x4 grid of 16-pixel cells, interpolated by hand, against each prompt."""
    with torch.no_grad():
        feats = model.extract_feat(model.data_preprocessor(pseudo_collate([sample]))['inputs'])
    dense, text = feats.dense[0].double().numpy(), feats.text[0].double().numpy()
    instance = sample['data_samples'].gt_instances
    rows = []
    for (x, y), visible in zip(instance.transformed_keypoints[0], instance.keypoints_visible[0]):
        if visible <= 0 or not (-0.5 <= x <= 63.5 and -0.5 <= y <= 63.5):
            rows.append([math.nan] * len(text))
            continue
        column, row = (min(max((value + 0.5) / 16 - 0.5, 0), 3) for value in (x, y))
        left, top = min(int(column), 2), min(int(row), 2)
        feature = sum(
            abs(1 - dx - (column - left)) * abs(1 - dy - (row - top)) * dense[:, top + dy, left + dx]
            for dx in (0, 1) for dy in (0, 1))
        rows.append([feature @ prompt / np.linalg.norm(feature) / np.linalg.norm(prompt) for prompt in text])
    return np.array(rows)


def test_cosines_are_those_at_the_labelled_keypoints(dataset):
    model = build()
    for index in range(3):
        expected = cosines_by_hand(model, dataset[index])
        assert np.isfinite(expected).any()
        np.testing.assert_allclose(compute_similarity(model, dataset, index, 'cosine'), expected, atol=1e-5)


def test_logits_and_softmax_are_those_of_equation_7(dataset):
    model = build()
    torch.nn.init.constant_(model.head.feature_loss.logit_scale, math.log(7))
    logits = 7 * cosines_by_hand(model, dataset[0])
    np.testing.assert_allclose(compute_similarity(model, dataset, 0, 'logits'), logits, atol=1e-4)
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(compute_similarity(model, dataset, 0, 'softmax'), softmax, atol=1e-5)


def test_the_scale_is_cut_where_the_loss_cuts_it(dataset):
    model = build(head=dict(feature_loss=dict(type='KeypointTextContrastiveLoss', max_scale=3.0)))
    np.testing.assert_allclose(
        compute_similarity(model, dataset, 0, 'logits'), 3 * compute_similarity(model, dataset, 0, 'cosine'), rtol=1e-5)


def test_a_hidden_keypoint_has_no_numbers(dataset):
    sample = dataset[0]
    instance = sample['data_samples'].gt_instances
    instance.keypoints_visible = np.ones_like(instance.keypoints_visible)
    instance.transformed_keypoints = np.full_like(instance.transformed_keypoints, 20)
    instance.keypoints_visible[0, 4] = 0
    instance.transformed_keypoints[0, 6] = 200  # outside the crop
    values = compute_similarity(build(), [sample], 0, 'cosine')
    assert np.flatnonzero(np.isnan(values).all(1)).tolist() == [4, 6]
    assert np.isfinite(np.delete(values, [4, 6], axis=0)).all()


def test_a_model_without_feature_loss_is_compared_by_cosine():
    model = build(head=dict(feature_loss=None))
    assert (choose_similarity(model), choose_similarity(build())) == ('cosine', 'logits')
    assert choose_similarity(build(), 'softmax') == 'softmax'
    with pytest.raises(ValueError, match='KeypointTextContrastiveLoss'):
        choose_similarity(model, 'softmax')
    with pytest.raises(ValueError, match="similarity='dot' must be one of logits, cosine, softmax"):
        choose_similarity(model, 'dot')


def test_a_model_without_prompts_says_who_makes_them(dataset):
    head = dict(type='HeatmapHead', in_channels=32, out_channels=17, deconv_out_channels=(16, 16),
                deconv_kernel_sizes=(4, 4), decoder=tiny_clamp_model()['head']['decoder'])
    model = MODELS.build(dict(tiny_clamp_model('vit', names=NAMES), neck=None, head=head)).eval()
    with pytest.raises(ValueError, match='PromptLearnerNeck'):
        compute_similarity(model, dataset, 0, 'cosine')


def test_the_mean_is_over_the_images_that_show_the_keypoint():
    nan = [math.nan] * 2
    mean, count = mean_similarity([np.array([[1, 2], nan]), np.array([[3, 6], nan])])
    np.testing.assert_array_equal(mean, [[2, 4], nan])
    assert count.tolist() == [2, 0]
    mean, count = mean_similarity([np.array([nan, [3, 5]]), np.array([[1, 1], [5, 9]])])
    np.testing.assert_array_equal(mean, [[1, 1], [4, 7]])
    assert count.tolist() == [1, 2]


def panels(figure):
    return [ax for ax in figure.axes if ax.get_title()]


def test_panels_share_their_colour_scale_and_count_the_right_ones():
    before, after = np.array([[0.0, 1.0], [0.5, 0.4]]), np.array([[5.0, 1.0], [0.0, 3.0]])
    left, right = panels(draw_similarity({'before': before, 'after': after}, ['a', 'b'], kind='cosine'))
    assert left.images[0].get_clim() == right.images[0].get_clim() == (0, 5)
    assert left.get_title() == 'before\nown prompt highest: 0 of 2'
    assert right.get_title() == 'after\nown prompt highest: 2 of 2'
    assert [tick.get_text() for tick in left.get_yticklabels()] == ['a', 'b']
    np.testing.assert_array_equal(left.images[0].get_array(), before)


def test_a_hidden_row_is_hatched_and_not_counted():
    values = np.array([[0.0, 1.0], [math.nan, math.nan]])
    ax, = panels(draw_similarity({'after': values}, ['a', 'b'], kind='logits'))
    hatched, = [patch for patch in ax.patches if patch.get_hatch()]
    assert hatched.get_y() == 0.5 and hatched.get_width() == 2
    assert ax.get_title().endswith('0 of 1') and len(ax.lines) == 1


def test_the_figure_says_what_its_numbers_are():
    for kind, words in (('logits', 'exp(logit scale)'), ('cosine', 'cosine'), ('softmax', 'softmax')):
        figure = draw_similarity({'': np.eye(2)}, ['a', 'b'], kind=kind)
        assert words in figure.axes[-1].get_ylabel()


def test_nothing_visible_is_nothing_to_draw():
    with pytest.raises(ValueError, match='no keypoint is visible in photo'):
        draw_similarity({'after': np.full((2, 2), math.nan)}, ['a', 'b'], kind='cosine', title='photo')
