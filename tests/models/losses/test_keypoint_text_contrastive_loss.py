import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clamp_mmpose.models import KeypointTextContrastiveLoss


def equation_8(image, text, visible, scale):
    """The mean over images and keypoints of both cross-entropies at the diagonal; what is hidden weighs nothing."""
    unit = [x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12) for x in (image, text)]
    B, K, total = *visible.shape, 0.0
    for b in range(B):
        logits = scale * unit[0][b] @ unit[1][b].T
        for k in range(K):
            of_text = np.log(np.exp(logits[k]).sum()) - logits[k, k]
            of_image = np.log(np.exp(logits[:, k]).sum()) - logits[k, k]
            total += visible[b, k] * (of_text + of_image) / 2
    return total / (B * K)


@pytest.fixture
def features():
    image, text = torch.randn(3, 6, 8, dtype=torch.float64), torch.randn(3, 6, 8, dtype=torch.float64)
    visible = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 1]], dtype=torch.float64)
    return image * visible[..., None], text, visible


def test_it_is_equation_8_with_invisible_keypoints_as_zero_features(features):
    expected = equation_8(*(x.numpy() for x in features), scale=1 / 0.07)
    assert KeypointTextContrastiveLoss().double()(*features).item() == pytest.approx(expected, rel=1e-6)
    assert KeypointTextContrastiveLoss(loss_weight=5e-4).double()(*features).item() == pytest.approx(
        5e-4 * expected, rel=1e-6)
    as_float = KeypointTextContrastiveLoss()(*(x.float() for x in features))
    assert as_float.dtype == torch.float32
    assert as_float.item() == pytest.approx(expected, rel=1e-5)


def test_the_scale_is_learned_and_starts_at_the_inverse_temperature(features):
    loss = KeypointTextContrastiveLoss(init_temperature=0.5).double()
    assert loss.logit_scale.item() == pytest.approx(math.log(2))
    with torch.no_grad():
        loss.logit_scale.fill_(1.0)
    expected = equation_8(*(x.numpy() for x in features), scale=math.e)
    value = loss(*features)
    assert value.item() == pytest.approx(expected, rel=1e-6)
    value.backward()
    assert loss.logit_scale.grad != 0
    assert KeypointTextContrastiveLoss().logit_scale.item() == pytest.approx(2.6593, abs=1e-4)


def test_the_scale_can_be_cut(features):
    cut, free = KeypointTextContrastiveLoss(max_scale=3.0).double(), KeypointTextContrastiveLoss().double()
    expected = equation_8(*(x.numpy() for x in features), scale=3.0)
    assert cut(*features).item() == pytest.approx(expected, rel=1e-6)
    assert free(*features).item() != pytest.approx(expected, rel=1e-2)


def test_the_mean_may_be_over_the_visible_keypoints(features):
    _, _, visible = features
    ratio = visible.numel() / visible.sum()
    both = [KeypointTextContrastiveLoss(average_visible=flag).double()(*features) for flag in (False, True)]
    torch.testing.assert_close(both[1], both[0] * ratio)


def test_masked_invisible_keypoints_are_not_there(features):
    """As if each image had its visible keypoints alone."""
    image, text, visible = features
    expected = 0
    for b in range(3):
        shown = visible[b] > 0
        part = [x[b:b + 1, shown].numpy() for x in (image, text)]
        expected += equation_8(*part, np.ones((1, shown.sum())), 1 / 0.07) * shown.sum().item() / visible.numel()
    loss = KeypointTextContrastiveLoss(mask_invisible=True).double()
    image.requires_grad_(), text.requires_grad_()
    value = loss(image, text, visible)
    assert value.item() == pytest.approx(expected, rel=1e-6)
    value.backward()
    assert torch.isfinite(image.grad).all() and torch.isfinite(text.grad).all()
    assert not text.grad[1, 1].any() and text.grad[1, 0].any()


@pytest.mark.parametrize('arguments', [{}, dict(mask_invisible=True), dict(average_visible=True), dict(max_scale=5.0)])
def test_its_gradient_is_right(features, arguments):
    image, text, visible = (x.clone() for x in features)
    loss = KeypointTextContrastiveLoss(init_temperature=0.5, **arguments).double()
    # A zero feature has no derivative: move it away from 0.
    image = (image + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, t, s: loss(i, t, visible),
                                    (image, text.requires_grad_(), loss.logit_scale))


@pytest.mark.parametrize('arguments', [{}, dict(mask_invisible=True), dict(average_visible=True)])
def test_nothing_visible_is_exactly_zero_with_finite_gradients(arguments):
    loss = KeypointTextContrastiveLoss(**arguments)
    image, text = torch.zeros(2, 5, 8, requires_grad=True), torch.randn(2, 5, 8, requires_grad=True)
    value = loss(image, text, torch.zeros(2, 5))
    value.backward()
    assert value.item() == 0
    for grad in (image.grad, text.grad, loss.logit_scale.grad):
        assert not grad.any() and torch.isfinite(grad).all()


def test_random_features_start_near_ln_k():
    image, text = torch.randn(64, 17, 1024), torch.randn(64, 17, 1024)
    value = KeypointTextContrastiveLoss(init_temperature=1.0)(image, text, torch.ones(64, 17))
    assert value.item() == pytest.approx(math.log(17), abs=0.01)
    # A feature outside the grid is zero and keeps its weight: exactly ln K.
    value = KeypointTextContrastiveLoss()(torch.zeros(2, 17, 8), torch.randn(2, 17, 8), torch.ones(2, 17))
    assert value.item() == pytest.approx(math.log(17), rel=1e-6)


def test_matched_orthonormal_features_tend_to_zero_as_the_scale_grows():
    eye = torch.eye(6)[None]
    loss, values = KeypointTextContrastiveLoss(), []
    for scale in (0.0, 1.0, 2.0, 4.0):
        with torch.no_grad():
            loss.logit_scale.fill_(scale)
            values.append(loss(eye, eye, torch.ones(1, 6)).item())
    assert values == sorted(values, reverse=True) and values[-1] < 1e-6
    assert values[0] == pytest.approx(math.log(math.e + 5) - 1, rel=1e-5)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_full(dtype):
    loss = KeypointTextContrastiveLoss()
    image, text, visible = torch.randn(2, 5, 8).to(dtype), torch.randn(2, 5, 8).to(dtype), torch.ones(2, 5)
    expected = loss(image.float(), text.float(), visible)
    with torch.autocast('cpu', dtype=dtype):
        value = loss(image, text, visible)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)


def test_half_precision_survives_zero_features_and_a_large_scale():
    loss = KeypointTextContrastiveLoss(init_temperature=1e-5)  # exp(scale) = 1e5 is beyond float16
    image, text = torch.zeros(1, 5, 8).half().requires_grad_(), torch.randn(1, 5, 8).half().requires_grad_()
    with torch.autocast('cpu', dtype=torch.float16):
        value = loss(image, text, torch.tensor([[1.0, 1, 0, 0, 1]]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(text.grad).all()


def test_images_are_contrasted_each_by_itself(features):
    image, text, visible = features
    loss = KeypointTextContrastiveLoss().double()
    alone = sum(loss(image[b:b + 1], text[b:b + 1], visible[b:b + 1]) for b in range(3)) / 3
    torch.testing.assert_close(loss(*features), alone)


def test_swapping_image_and_text_changes_nothing_where_all_is_visible():
    image, text, visible = F.normalize(torch.randn(2, 5, 8), dim=2), torch.randn(2, 5, 8), torch.ones(2, 5)
    loss = KeypointTextContrastiveLoss()
    torch.testing.assert_close(loss(image, text, visible), loss(text, image, visible))
