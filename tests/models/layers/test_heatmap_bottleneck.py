"""The heatmap bottleneck against a loop written from Eq. 1 and 2, and what it lets through."""
import math

import pytest
import torch
from torch.testing import assert_close

from clamp_mmpose.models.layers import HeatmapBottleneck


def test_it_equals_the_equations():
    maps = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    result = HeatmapBottleneck(sigma=1.5)(maps)
    for image, drawn in zip(maps, result):
        for y_k, gaussian in zip(image, drawn):
            total = sum(math.exp(y_k[j, i]) for j in range(5) for i in range(7))
            u = [sum(cell[axis] * math.exp(y_k[cell[1], cell[0]]) for cell in ((i, j) for j in range(5)
                                                                             for i in range(7))) / total
                 for axis in range(2)]
            for j in range(5):
                for i in range(7):
                    expected = math.exp(-((i - u[0])**2 + (j - u[1])**2) / (2 * 1.5**2))
                    assert gaussian[j, i].item() == pytest.approx(expected, abs=1e-12)


def peaked(x, y, height=50.0):
    maps = torch.zeros(1, 1, 32, 32)
    maps[..., y, x] = height
    return maps


def test_a_shifted_peak_shifts_the_point():
    bottleneck = HeatmapBottleneck()
    assert_close(bottleneck.keypoints(peaked(9, 20)), torch.tensor([[[9.0, 20.0]]]))
    moved = bottleneck.keypoints(torch.roll(peaked(9, 20), (3, -4), dims=(-1, -2)))
    assert_close(moved, torch.tensor([[[12.0, 16.0]]]))


def test_a_constant_map_is_the_centre():
    assert_close(HeatmapBottleneck().keypoints(torch.full((1, 2, 32, 32), 3.0)), torch.full((1, 2, 2), 15.5))
    assert_close(HeatmapBottleneck().keypoints(torch.zeros(1, 1, 4, 9)), torch.tensor([[[4.0, 1.5]]]))


def test_adding_a_constant_to_a_map_changes_nothing():
    maps = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    assert_close(HeatmapBottleneck()(maps + 100), HeatmapBottleneck()(maps))


def test_the_peak_is_one_on_a_cell_and_less_between_cells():
    on = HeatmapBottleneck()(peaked(9, 20))
    assert on.max() == 1 and divmod(on.argmax().item(), 32) == (20, 9)
    between = HeatmapBottleneck()(torch.zeros(1, 1, 32, 32))  # at 15.5, 15.5
    assert between.max().item() == pytest.approx(math.exp(-0.5 / 8))


@pytest.mark.parametrize('height', [0.0, 1e4, -1e4])
def test_gradients_are_finite(height):
    maps = peaked(3, 4, height).requires_grad_()
    HeatmapBottleneck()(maps).square().sum().backward()
    assert torch.isfinite(maps.grad).all()


def test_gradients_equal_finite_differences():
    maps = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(HeatmapBottleneck(), (maps, ))
    assert torch.autograd.gradgradcheck(HeatmapBottleneck(), (maps, ))


def test_half_precision_keeps_its_points():
    """bfloat16 has 8 bits: coordinates past 256 would be rounded to whole cells and more."""
    maps = torch.zeros(1, 1, 4, 512, dtype=torch.bfloat16)
    maps[..., 1, 301] = 50
    assert_close(HeatmapBottleneck().keypoints(maps), torch.tensor([[[301.0, 1.0]]]))


@pytest.mark.parametrize('sigma', [0, -1.0])
def test_a_gaussian_without_width_is_an_error(sigma):
    with pytest.raises(ValueError, match=f'^sigma={sigma} must'):
        HeatmapBottleneck(sigma)
