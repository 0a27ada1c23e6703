"""Norms in the weights of the convolutions in front of them, against the layers one after the other."""
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from clamp_mmpose.models.layers.folded_norms import FoldedConvolution, fold_norms
from clamp_mmpose.testing import randomize

CONVOLUTIONS = [dict(), dict(bias=False), dict(stride=2, padding=1), dict(groups=2), dict(dilation=2)]


@pytest.mark.parametrize('arguments', CONVOLUTIONS, ids=str)
@pytest.mark.parametrize('affine', [True, False])
def test_values_and_gradients_of_both_orders_are_those_of_the_layers(arguments, affine):
    layers = nn.Sequential(nn.Conv2d(4, 6, 3, **arguments), nn.BatchNorm2d(6, affine=affine), nn.Tanh(),
                           nn.Conv2d(6, 2, 1))
    randomize(layers).double().eval()
    folded = fold_norms(layers)
    assert [type(layer) for layer in folded] == [FoldedConvolution, nn.Tanh, nn.Conv2d]
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64, requires_grad=True)
    leaves = [x, *layers.parameters()]
    results = []
    for one in (layers, folded):
        output = x
        for layer in one:
            output = layer(output)
        first = torch.autograd.grad(output.square().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in first), leaves)
        results.append((output, *first, *second))
    assert_close(*results, rtol=1e-10, atol=1e-8)


def test_norms_that_learn_their_statistics_stay():
    layers = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1),
                           nn.BatchNorm2d(2, track_running_stats=False), nn.ReLU(), nn.BatchNorm2d(2))
    assert fold_norms(layers) == list(layers)
    folded = fold_norms(layers.eval())
    assert isinstance(folded[0], FoldedConvolution) and folded[1:] == list(layers)[2:]


def test_convolutions_that_pad_other_than_zeros_stay():
    layers = randomize(nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, padding_mode='reflect'), nn.BatchNorm2d(3))).eval()
    assert fold_norms(layers) == list(layers)
