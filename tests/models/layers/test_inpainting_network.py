"""The auxiliary network: its size, and windows of its output against the whole one."""
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from clamp_mmpose.models.layers import InpaintingNetwork
from clamp_mmpose.models.layers.masks import central_patch
from clamp_mmpose.models.layers.windowed_layers import Window, input_window, run_window
from clamp_mmpose.testing import randomize


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize('num_maps, pose', [(13, 1_192_736), (16, 1_197_440), (30, 1_219_392)])
def test_parameters_are_those_of_the_supplements_layers(num_maps, pose):
    network = InpaintingNetwork(num_maps)
    assert count(network.appearance_encoder) == 1_177_056
    assert count(network.pose_encoder) == pose
    assert count(network.decoder) == 2_352_867


def test_features_lie_at_an_eighth_and_the_picture_has_its_size():
    network = InpaintingNetwork(13).eval()
    appearance = network.encode_appearance(torch.randn(1, 3, 128, 64), torch.zeros(1, 1, 128, 64))
    assert appearance.shape == (1, 256, 16, 8)
    assert network(appearance, torch.rand(1, 13, 32, 16)).shape == (1, 3, 128, 64)


def test_the_appearance_knows_nothing_of_the_missing_patch():
    network = randomize(InpaintingNetwork(2, base_channels=2)).eval()
    mask = torch.zeros(1, 1, 32, 32)
    patch = central_patch((32, 32), 0.5)
    patch.crop(mask).fill_(1)
    images = torch.randn(2, 3, 32, 32)
    changed = images.clone()
    patch.crop(changed).add_(5)
    first, second = network.encode_appearance(images, mask), network.encode_appearance(changed, mask)
    assert torch.equal(first, second)
    assert not torch.equal(first, network.encode_appearance(changed, 0 * mask))


WINDOWS = [Window(8, 24, 8, 24), Window(0, 40, 0, 48), Window(0, 1, 0, 1), Window(39, 40, 47, 48),
           Window(3, 17, 20, 48), Window(13, 14, 22, 31)]


@pytest.mark.parametrize('window', WINDOWS, ids=str)
def test_a_window_has_the_values_and_gradients_of_the_whole(window):
    network = randomize(InpaintingNetwork(3, base_channels=2)).double().eval()
    appearance = torch.randn(2, 16, 5, 6, dtype=torch.float64, requires_grad=True)
    heatmaps = torch.rand(2, 3, 10, 12, dtype=torch.float64, requires_grad=True)
    upsampled = nn.functional.interpolate(heatmaps, size=(40, 48), mode='bilinear', align_corners=False)
    whole = window.crop(network.decoder(torch.cat([appearance, network.pose_encoder(upsampled)], 1)))
    part = network(appearance, heatmaps, window)
    assert_close(part, whole, rtol=0, atol=1e-10)
    leaves = [appearance, heatmaps, *network.pose_encoder.parameters(), *network.decoder.parameters()]
    weight = torch.randn_like(whole)
    for got, expected in zip(torch.autograd.grad((part * weight).sum(), leaves),
                             torch.autograd.grad((whole * weight).sum(), leaves)):
        assert_close(got, expected, rtol=0, atol=1e-9)


def test_a_window_computes_no_more_than_it_needs():
    """Cells that a window does not depend on may hold anything."""
    layers = randomize(InpaintingNetwork(3, base_channels=1).decoder).eval()
    x = torch.randn(1, 16, 12, 12)
    window = Window(40, 44, 32, 33)
    seen = input_window(layers, window, (12, 12))
    # Rows, by hand: three convolutions 37-47, halved 18-24, two 16-26, halved 8-13, two 6-15, halved 3-8, two 1-10.
    assert seen == Window(1, 10, 0, 8)
    broken = torch.full_like(x, float('nan'))
    seen.crop(broken).copy_(seen.crop(x))
    result = run_window(layers, seen.crop(broken), window, (12, 12))
    assert_close(result, window.crop(layers(x)))
    assert_close(window.crop(layers(broken)), result)


@pytest.mark.parametrize('convolution', [
    nn.Conv2d(2, 3, 5, stride=3, padding=1), nn.Conv2d(2, 3, 3, padding=2, dilation=2), nn.Conv2d(2, 4, 3, groups=2),
    nn.Conv2d(2, 3, (3, 1), stride=(2, 1), padding=(1, 0))
], ids=str)
def test_any_convolution_has_windows(convolution):
    x = torch.randn(1, 2, 17, 14)
    whole = convolution(x)
    H, W = whole.shape[-2:]
    for window in (Window(0, H, 0, W), Window(1, 3, 0, 2), Window(H - 2, H, W - 1, W)):
        seen = input_window([convolution], window, (17, 14))
        assert_close(run_window([convolution], seen.crop(x), window, (17, 14)), window.crop(whole))


@pytest.mark.parametrize('window', [Window(-1, 3, 0, 4), Window(0, 9, 0, 4), Window(2, 2, 0, 4)], ids=str)
def test_a_window_outside_is_an_error(window):
    with pytest.raises(ValueError, match=r'must lie inside the output, which is 8x8'):
        input_window([nn.ReLU()], window, (8, 8))


def test_a_size_that_does_not_halve_three_times_is_an_error():
    with pytest.raises(ValueError, match=r'images of 60x64 \(W, H\).*multiples of 8'):
        InpaintingNetwork(3, base_channels=1).encode_appearance(torch.zeros(1, 3, 64, 60), torch.zeros(1, 1, 64, 60))


def test_a_parents_initialisation_leaves_it_alone():
    """HeatmapHead draws the weights of all its convolutions with a deviation of 0.001."""
    network = InpaintingNetwork(3, base_channels=8)
    nn.init.normal_(network.decoder[0].weight, std=1e-3)
    network.init_weights()
    assert network.decoder[0].weight.std() > 0.02
