"""The auxiliary losses of DenseCLIP for pose, against loops in NumPy."""
import math

import numpy as np
import pytest
import torch

from clamp_mmpose.models import ScoreMapBCELoss, ScoreMapMSELoss
from clamp_mmpose.structures import VisionLanguageFeatures
from clamp_mmpose.testing import pack_batch

CODEC = dict(type='MSRAHeatmap', input_size=(64, 48), heatmap_size=(16, 12), sigma=1.5)


def feats(dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    score_map = (torch.rand(2, 5, 3, 4, generator=generator) * 2 - 1).to(dtype).requires_grad_()
    return VisionLanguageFeatures([torch.zeros(2, 1, 3, 4)], score_map=score_map)


def samples(**kwargs):
    return pack_batch(CODEC, 5, **kwargs)['data_samples']


def gaussian(sample, k, size, sigma):
    x, y = sample.gt_instances.transformed_keypoints[0, k]
    h, w = size
    rows, columns = np.mgrid[:h, :w]
    dx, dy = columns - ((x + 0.5) * w / 64 - 0.5), rows - ((y + 0.5) * h / 48 - 0.5)
    return np.exp(-(dx**2 + dy**2) / (2 * sigma**2))


@pytest.mark.parametrize('hidden', [(), (1, 3)])
def test_bce_is_the_mean_over_the_cells_of_the_visible_keypoints(hidden):
    batch, features = samples(hidden=hidden), feats()
    values = []
    for score_map, sample in zip(features.score_map.detach().double().numpy(), batch):
        for k in set(range(5)) - set(hidden):
            p = 1 / (1 + np.exp(-score_map[k] / 0.07))
            y = gaussian(sample, k, (3, 4), 0.5)
            values.append((-y * np.log(p) - (1 - y) * np.log(1 - p)).mean())
    loss = ScoreMapBCELoss(loss_weight=2.0)(features, batch)['loss_score']
    assert loss.item() == pytest.approx(2 * np.mean(values), rel=1e-4)


def test_bce_of_no_score_is_ln_2():
    features = VisionLanguageFeatures([], score_map=torch.zeros(2, 5, 3, 4))
    loss = ScoreMapBCELoss(loss_weight=1.0)(features, samples())['loss_score']
    assert loss.item() == pytest.approx(math.log(2), rel=1e-5)


def test_mse_is_that_of_the_resized_map():
    batch, features = samples(hidden=(2, )), feats()
    loss = ScoreMapMSELoss(5, deconv_out_channels=None, heatmap_size=(16, 12), sigma=1.5)(features, batch)['loss_score']
    resized = torch.nn.functional.interpolate(features.score_map, size=(12, 16), mode='bilinear').detach().numpy()
    target = np.stack([[gaussian(sample, k, (12, 16), 1.5) for k in range(5)] for sample in batch])
    visible = np.array([1, 1, 0, 1, 1])[:, None, None]
    assert loss.item() == pytest.approx((((resized - target) * visible)**2).mean(), rel=1e-4)


def test_learned_upsampling_doubles_the_size_and_learns():
    module, features = ScoreMapMSELoss(5, deconv_out_channels=(8, 8), sigma=1.5), feats()
    module(features, samples())['loss_score'].backward()
    assert features.score_map.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in module.parameters())
    with pytest.raises(ValueError, match='resized to heatmap_size'):
        ScoreMapMSELoss(5, deconv_out_channels=None)


@pytest.mark.parametrize('make', [ScoreMapBCELoss, lambda: ScoreMapMSELoss(5, deconv_out_channels=(8, ))])
def test_nothing_visible_is_a_finite_zero(make):
    module, features = make(), feats()
    loss = module(features, samples(hidden='all'))['loss_score']
    loss.backward()
    assert loss.item() == 0 and torch.isfinite(features.score_map.grad).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_full(dtype):
    loss = ScoreMapBCELoss()(feats(dtype), samples())['loss_score']
    full = ScoreMapBCELoss()(feats(), samples())['loss_score']
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, full, rtol=3e-2, atol=0)
