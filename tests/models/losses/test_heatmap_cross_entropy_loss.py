import pytest
import torch
import torch.nn.functional as F
from mmpose.registry import MODELS
from torch.testing import assert_close

from clamp_mmpose.models.losses import HeatmapCrossEntropyLoss

B, C, H, W = 2, 3, 5, 4


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def maps(logits):
    return logits.flatten(2).softmax(-1).view_as(logits)


def test_it_is_the_cross_entropy_of_torch_over_the_cells():
    logits, target = random(B, C, H, W), maps(random(B, C, H, W, seed=1))
    loss = HeatmapCrossEntropyLoss(loss_weight=0.5)(maps(logits), target)
    assert_close(loss, 0.5 * F.cross_entropy(logits.view(B * C, H * W), target.view(B * C, H * W)))


def test_its_gradient_at_a_softmax_is_the_difference_of_the_distributions():
    logits, target = random(B, C, H, W).requires_grad_(), maps(random(B, C, H, W, seed=1))
    HeatmapCrossEntropyLoss()(maps(logits), target).backward()
    assert_close(logits.grad, (maps(logits) - target).detach() / (B * C))


def test_heights_do_not_matter():
    output, target = maps(random(B, C, H, W)), maps(random(B, C, H, W, seed=1))
    peaks = output / output.amax((2, 3), keepdim=True)
    assert_close(HeatmapCrossEntropyLoss()(peaks, 7 * target), HeatmapCrossEntropyLoss()(output, target))


def test_keypoints_of_weight_zero_have_no_gradient():
    output, target = maps(random(B, C, H, W)).requires_grad_(), maps(random(B, C, H, W, seed=1))
    weights = torch.tensor([[1., 0, 2], [0, 0, 1]], dtype=torch.float64)
    loss = HeatmapCrossEntropyLoss(use_target_weight=True)
    each = torch.stack([
        torch.stack([HeatmapCrossEntropyLoss()(output[b:b + 1, c:c + 1], target[b:b + 1, c:c + 1]) for c in range(C)])
        for b in range(B)])
    assert_close(loss(output, target, weights), (each * weights).mean())
    loss(output, target, weights).backward()
    assert torch.equal(output.grad.abs().sum((2, 3)) > 0, weights > 0)
    assert HeatmapCrossEntropyLoss()(output, target, weights) != loss(output, target, weights)


def test_a_target_of_zeros_counts_nothing():
    output = maps(random(B, C, H, W)).requires_grad_()
    loss = HeatmapCrossEntropyLoss()(output, torch.zeros(B, C, H, W))
    loss.backward()
    assert loss == 0 and not output.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
def test_a_map_that_misses_its_target_has_a_finite_loss_and_gradient(dtype):
    output = torch.zeros(1, 1, H, W, dtype=dtype)
    output[..., 0, 0] = 1
    output.requires_grad_()
    target = torch.zeros(1, 1, H, W)
    target[..., -1, -1] = 1
    loss = HeatmapCrossEntropyLoss()(output, target)
    loss.backward()
    assert loss.dtype == torch.float32 and 20 < loss < 30
    assert output.grad.isfinite().all()


@pytest.mark.parametrize('use_target_weight, shape, weights, message', [
    (False, (B, C, H, W + 1), None, r'heatmaps \(2, 3, 5, 5\) and their targets \(2, 3, 5, 4\)'),
    (True, (B, C, H, W), None, 'needs target_weights')])
def test_errors_say_what_is_wrong(use_target_weight, shape, weights, message):
    loss = MODELS.build(dict(type='HeatmapCrossEntropyLoss', use_target_weight=use_target_weight))
    with pytest.raises(ValueError, match=message):
        loss(torch.ones(shape), torch.ones(B, C, H, W), weights)
