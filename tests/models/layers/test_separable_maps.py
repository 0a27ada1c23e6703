"""Convolving products of profiles against torch's upsampling and convolution of the maps that they are."""
import pytest
import torch
import torch.nn.functional as F
from torch.autograd import grad, gradgradcheck
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from clamp_mmpose.models.layers import HeatmapBottleneck, InpaintingNetwork
from clamp_mmpose.models.layers.separable_maps import SeparableMaps, convolve_upsampled
from clamp_mmpose.models.layers.windowed_layers import Window
from clamp_mmpose.testing import randomize

SIZE = (24, 32)
WINDOWS = [Window.whole(SIZE), Window(0, 1, 31, 32), Window(5, 19, 2, 30), Window(20, 24, 0, 3)]


def make(dtype=torch.float64, size=(6, 8), kernel_size=(7, 7)):
    generator = torch.Generator().manual_seed(0)
    rows, columns = (torch.rand(2, 3, length, generator=generator, dtype=dtype).requires_grad_() for length in size)
    weight = torch.randn(4, 3, *kernel_size, generator=generator, dtype=dtype).requires_grad_()
    return rows, columns, weight


def convolve_dense(rows, columns, weight, padding, window, size=SIZE):
    maps = rows[..., :, None] * columns[..., None, :]
    upsampled = F.interpolate(maps, size=size, mode='bilinear', align_corners=False)
    return window.crop(F.conv2d(upsampled, weight, padding=padding))


@pytest.mark.parametrize('window', WINDOWS, ids=str)
@pytest.mark.parametrize('dtype, tolerance', [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_values_and_gradients_of_both_orders_are_those_of_the_dense_maps(window, dtype, tolerance):
    leaves = make(dtype)
    weights = torch.randn(2, 4, window.bottom - window.top, window.right - window.left, dtype=dtype) / 100
    results = []
    for output in (convolve_upsampled(SeparableMaps(*leaves[:2]), leaves[2], None, (3, 3), window, SIZE),
                   convolve_dense(*leaves, (3, 3), window)):
        first = grad((output.square() * weights).sum(), leaves, create_graph=True)
        second = grad(sum(part.square().sum() for part in first) / 100, leaves)
        results.append((output, *first, *second))
    for got, expected in zip(*results):
        assert_close(got, expected, rtol=tolerance, atol=tolerance * expected.detach().abs().max().item())


@pytest.mark.parametrize('size, kernel_size, padding', [
    ((6, 8), (3, 5), (1, 2)), ((7, 5), (5, 1), (0, 0)), ((24, 32), (7, 7), (3, 3)), ((1, 64), (3, 3), (2, 2))])
def test_any_size_kernel_and_padding(size, kernel_size, padding):
    rows, columns, weight = make(size=size, kernel_size=kernel_size)
    window = Window(1, 20, 3, 28)
    assert_close(convolve_upsampled(SeparableMaps(rows, columns), weight, None, padding, window, SIZE),
                 convolve_dense(rows, columns, weight, padding, window))


def test_second_derivatives_equal_finite_differences():
    rows, columns, weight = make(size=(2, 3), kernel_size=(3, 3))
    assert gradgradcheck(
        lambda *leaves: convolve_upsampled(SeparableMaps(*leaves[:2]), leaves[2], None, (1, 1), Window(0, 3, 1, 5),
                                           (4, 6)),
        (rows, columns, weight[:2]))


@pytest.mark.parametrize('window', [None, Window(8, 24, 8, 24), Window(0, 40, 13, 48)], ids=str)
def test_the_network_takes_both_kinds_of_maps(window):
    network = randomize(InpaintingNetwork(3, base_channels=2)).double().eval()
    appearance = torch.randn(2, 16, 5, 6, dtype=torch.float64)
    maps = HeatmapBottleneck().double().separable(torch.randn(2, 3, 10, 12, dtype=torch.float64))
    assert_close(maps.dense(), maps.rows[..., None] * maps.columns[:, :, None])
    leaves = [*network.pose_encoder.parameters()]
    part, whole = network(appearance, maps, window), network(appearance, maps.dense(), window)
    assert_close(part, whole, rtol=0, atol=1e-10)
    weight = torch.randn_like(whole)
    assert_close(grad((part * weight).sum(), leaves), grad((whole * weight).sum(), leaves), rtol=0, atol=1e-9)


def test_it_takes_a_seventh_of_the_operations():
    rows, columns = torch.rand(1, 17, 64), torch.rand(1, 17, 64)
    weight = torch.rand(32, 17, 7, 7)
    window, size = Window.whole((256, 256)), (256, 256)
    with FlopCounterMode(display=False) as separable:
        convolve_upsampled(SeparableMaps(rows, columns), weight, None, (3, 3), window, size)
    with FlopCounterMode(display=False) as dense:
        convolve_dense(rows, columns, weight, (3, 3), window, size)
    assert 6.5 < dense.get_total_flops() / separable.get_total_flops() < 7
