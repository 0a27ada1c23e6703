import itertools

import pytest
import torch
from mmpose.registry import MODELS
from torch.testing import assert_close

from clamp_mmpose.models.losses import PartDiversityLoss


def loss(features):
    return PartDiversityLoss(loss_weight=1)(features)


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_it_is_equation_11_in_loops():
    features = random(2, 4, 6)
    total = 0
    for parts in features:
        for i, j in itertools.permutations(range(4), 2):
            total += parts[i] @ parts[j] / (parts[i].square().sum().sqrt() * parts[j].square().sum().sqrt()) / (4 * 3)
    assert_close(loss(features), total / 2)


def test_its_range():
    assert_close(loss(random(1, 1, 6).expand(2, 5, 6)), torch.tensor(1., dtype=torch.float64))
    assert_close(loss(torch.eye(5).expand(2, 5, 5) * 3), torch.tensor(0.))
    simplex = torch.eye(5, dtype=torch.float64) - 1 / 5  # as far apart as five vectors can be
    assert_close(loss(simplex[None]), torch.tensor(-1 / 4, dtype=torch.float64))


def test_neither_order_nor_length_of_the_features_matters():
    features = random(2, 5, 6)
    assert_close(loss(features[:, [3, 1, 4, 0, 2]]), loss(features))
    assert_close(loss(features * torch.tensor([1, 2, 5, 0.1, 100.])[:, None]), loss(features))


def test_a_single_part_and_features_of_zero_have_a_loss_of_zero():
    for features in (random(2, 1, 6), torch.zeros(2, 5, 6)):
        features.requires_grad_()
        value = loss(features)
        value.backward()
        assert float(value) == pytest.approx(0, abs=1e-12)
        assert bool(torch.isfinite(features.grad).all())


def test_it_is_built_from_a_config_and_computes_in_full_precision():
    module = MODELS.build(dict(type='PartDiversityLoss', loss_weight=0.5))
    features = random(2, 5, 6)
    assert_close(module(features), loss(features) / 2)
    assert module(features.bfloat16()).dtype == torch.float32
