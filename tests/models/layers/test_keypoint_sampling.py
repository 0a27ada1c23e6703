import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from clamp_mmpose.models.layers import sample_bilinear, sample_released

# (W, H) of the input and of the feature grid: strides 32, 16 and 14, and grids that are not square.
SIZES = [((256, 256), (8, 8)), ((256, 256), (16, 16)), ((192, 256), (12, 16)), ((192, 256), (6, 8)),
         ((224, 224), (16, 16)), ((64, 32), (4, 2))]


def coarse_target(keypoint, visible, image_size, grid, sigma=0.5):
    """MMPose 0.x's ``_msra_generate_target`` for one keypoint: an (h, w) map and the keypoint's weight."""
    w, h = grid
    target, radius = np.zeros((h, w), dtype=np.float32), 3 * sigma
    stride = np.array(image_size) / [w, h]
    mu = [int(keypoint[i] / stride[i] + 0.5) for i in range(2)]
    ul, br = [int(m - radius) for m in mu], [int(m + radius + 1) for m in mu]
    weight = visible
    if ul[0] >= w or ul[1] >= h or br[0] < 0 or br[1] < 0:
        weight = 0
    if weight > 0.5:
        size = 2 * radius + 1
        x = np.arange(0, size, 1, np.float32)
        g = np.exp(-((x - size // 2)**2 + (x[:, None] - size // 2)**2) / (2 * sigma**2))
        gx, gy = ((max(0, -ul[i]), min(br[i], n) - ul[i]) for i, n in ((0, w), (1, h)))
        ix, iy = ((max(0, ul[i]), min(br[i], n)) for i, n in ((0, w), (1, h)))
        target[iy[0]:iy[1], ix[0]:ix[1]] = g[gy[0]:gy[1], gx[0]:gx[1]]
    return target, weight


def positions(image_size, grid):
    """Every cell's middle and edges, what floats lie beside them, the borders and far beyond; each x with a random y
    and each y with a random x."""
    axes = []
    for size, cells in zip(image_size, grid):
        edges = size / cells * np.arange(-14, 2 * cells + 15) / 2
        values = np.array([*edges, -0.5, -0.4, size - 1, size - 0.5, size - 0.4, 0.3 * size], dtype=np.float32)
        axes.append(np.concatenate([values, *(np.nextafter(values, np.float32(sign * np.inf)) for sign in (-1, 1))]))
    rng = np.random.default_rng(0)
    # Mostly from the inside, so that a keypoint that is lost along one axis is not lost along the other too.
    inside = [axis[(axis > 0) & (axis < size - size / cells)] for axis, size, cells in zip(axes, image_size, grid)]
    x, y = axes
    return np.concatenate([np.stack([x, rng.choice(inside[1], len(x))], -1),
                           np.stack([rng.choice(inside[0], len(y)), y], -1),
                           np.stack([rng.choice(x, 100), rng.choice(y, 100)], -1)])


@pytest.mark.parametrize('image_size, grid', SIZES)
def test_released_sampling_sums_the_cells_where_the_coarse_target_is_one(image_size, grid):
    keypoints = positions(image_size, grid)
    visible = (np.arange(len(keypoints)) % 7 > 0).astype(np.float32)
    dense = torch.randn(1, 5, grid[1], grid[0])
    features, weights = sample_released(dense, torch.from_numpy(keypoints)[None], torch.from_numpy(visible)[None],
                                        image_size)
    found = 0
    for k, keypoint in enumerate(keypoints):
        target, weight = coarse_target(keypoint, visible[k], image_size, grid)
        found += (target == 1).sum()
        expected = np.einsum('chw,hw->c', dense[0].numpy(), (target == 1).astype(np.float32))
        np.testing.assert_allclose(features[0, k].numpy(), expected, atol=1e-6, err_msg=str(keypoint))
        assert weights[0, k] == weight, keypoint
    assert 0 < found < len(keypoints)


@pytest.mark.parametrize('x, cell', [(16, 2), (47, 2), (48, 2), (79, 2), (80, 3), (0, 1), (15, 1), (239, 7), (-20, 1)])
def test_released_cells_have_the_known_bias(x, cell):
    """Stride 32: the index is x / 32 rounded, and the indices 0 and 1 are moved up by one."""
    dense = torch.arange(8.0).expand(1, 1, 8, 8)
    features, weight = sample_released(dense, torch.tensor([[[float(x), 100.0]]]), torch.ones(1, 1), (256, 256))
    assert (features.item(), weight.item()) == (cell, 1)


def test_released_keypoints_in_the_last_half_stride_have_no_feature_and_keep_their_weight():
    dense = torch.ones(1, 3, 8, 8)
    features, weight = sample_released(dense, torch.tensor([[[240.0, 100.0], [255.0, 100.0]]]), torch.ones(1, 2),
                                       (256, 256))
    assert not features.any() and weight.all()


def bilinear_by_hand(dense, keypoint, image_size):
    """Pixel centres at integers in the image and in the grid; the border cells continue outwards."""
    _, h, w = dense.shape
    x, y = ((keypoint[i] + 0.5) * n / size - 0.5 for i, n, size in ((0, w, image_size[0]), (1, h, image_size[1])))
    x, y = min(max(x, 0), w - 1), min(max(y, 0), h - 1)
    value = 0
    for row in {math.floor(y), math.ceil(y)}:
        for column in {math.floor(x), math.ceil(x)}:
            value = value + (1 - abs(x - column)) * (1 - abs(y - row)) * dense[:, row, column]
    return value


@pytest.mark.parametrize('image_size, grid', SIZES)
def test_bilinear_sampling_is_a_weighted_sum_of_four_cells(image_size, grid):
    keypoints = positions(image_size, grid)
    visible = (np.arange(len(keypoints)) % 7 > 0).astype(np.float32)
    dense = torch.randn(1, 5, grid[1], grid[0])
    features, weights = sample_bilinear(dense, torch.from_numpy(keypoints)[None], torch.from_numpy(visible)[None],
                                        image_size)
    inside = 0
    for k, (x, y) in enumerate(keypoints.astype(np.float64)):
        border = min(x + 0.5, y + 0.5, image_size[0] - 0.5 - x, image_size[1] - 0.5 - y)
        if abs(border) > 1e-4:  # float32 cannot tell a point on the border from one beside it
            assert weights[0, k] == (visible[k] and border > 0)
        expected = bilinear_by_hand(dense[0].numpy(), (x, y), image_size) * weights[0, k].item()
        np.testing.assert_allclose(features[0, k].numpy(), expected, atol=1e-4)
        inside += weights[0, k].item()
    assert 0 < inside < len(keypoints)


def test_bilinear_sampling_at_the_middle_of_a_cell_is_the_cell():
    dense = torch.randn(1, 3, 8, 6)
    middle = torch.tensor([[[2 * 32 + 15.5, 5 * 32 + 15.5]]])  # the third column's and the sixth row's
    features, _ = sample_bilinear(dense, middle, torch.ones(1, 1), (192, 256))
    torch.testing.assert_close(features[0, 0], dense[0, :, 5, 2])


@pytest.mark.parametrize('sample', [sample_bilinear, sample_released])
def test_a_hidden_keypoint_may_lie_anywhere(sample):
    dense = torch.randn(1, 3, 4, 4, requires_grad=True)
    keypoints = torch.tensor([[[float('nan'), 3.0], [1e9, -1e9], [float('inf'), 0.0], [10.0, 20.0]]])
    features, weight = sample(dense, keypoints, torch.tensor([[0.0, 0.0, 0.0, 1.0]]), (64, 64))
    features.square().sum().backward()
    assert weight.tolist() == [[0, 0, 0, 1]]
    assert not features[0, :3].any() and features[0, 3].any()
    assert torch.isfinite(dense.grad).all() and dense.grad.any()


@pytest.mark.parametrize('sample', [sample_bilinear, sample_released])
def test_sampling_is_differentiable_in_double(sample):
    dense = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    keypoints, visible = 80 * torch.rand(2, 6, 2), (torch.arange(12).reshape(2, 6) % 3 > 0).float()
    assert torch.autograd.gradcheck(lambda x: sample(x, keypoints, visible, (80, 64))[0], dense)


@pytest.mark.parametrize('sample', [sample_bilinear, sample_released])
def test_half_precision_is_sampled_in_full(sample):
    dense = torch.randn(2, 3, 4, 4).bfloat16()
    keypoints, visible = 64 * torch.rand(2, 6, 2), torch.ones(2, 6)
    features, weight = sample(dense, keypoints, visible, (64, 64))
    assert features.dtype == weight.dtype == torch.float32
    torch.testing.assert_close(features, sample(dense.float(), keypoints, visible, (64, 64))[0])


class _Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation makes."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, (tuple, list)) else (out, ):
            if isinstance(value, torch.Tensor) and func is not torch.ops.aten.expand.default:
                self.numel = max(self.numel, value.numel())
        return out


@pytest.mark.parametrize('sample', [sample_bilinear, sample_released])
def test_no_tensor_is_larger_than_the_maps_or_the_features(sample):
    B, K, D, h, w = 2, 9, 12, 8, 8
    dense = torch.randn(B, D, h, w, requires_grad=True)
    with _Largest() as largest:
        features, _ = sample(dense, 64 * torch.rand(B, K, 2), torch.ones(B, K), (64, 64))
        features.sum().backward()
    assert 0 < largest.numel <= max(B * D * h * w, B * K * D) < B * K * D * h * w
