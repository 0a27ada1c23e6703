"""Embeddings for backbones that have none, and targets from keypoints, against loops in NumPy."""
import numpy as np
import pytest
import torch

from clamp_mmpose.models.layers import DenseAttentionPool, DenseProjection
from clamp_mmpose.models.layers.gaussian_target import gaussian_target, packed_keypoints
from clamp_mmpose.testing import TINY_RESNET, pack_batch, randomize


def test_every_position_attends_to_all_and_to_their_mean():
    """A loop over heads and queries, from CLIP's description of its attention pool."""
    pool = randomize(DenseAttentionPool(8, 6, input_size=(96, 64), stride=32, num_heads=2)).double()
    x = torch.randn(1, 8, 2, 3, dtype=torch.float64)
    dense, pooled = pool(x)
    w = {key.removeprefix('pool.'): value.numpy() for key, value in pool.state_dict().items()}
    positions = x[0].flatten(1).T.numpy()
    tokens = np.concatenate([positions.mean(0, keepdims=True), positions]) + w['positional_embedding']
    q, k, v = (tokens @ w[f'{name}_proj.weight'].T + w[f'{name}_proj.bias'] for name in 'qkv')
    out = np.zeros_like(q)
    for head in (slice(0, 4), slice(4, 8)):
        scores = np.exp(q[:, head] @ k[:, head].T / 2)
        out[:, head] = scores / scores.sum(1, keepdims=True) @ v[:, head]
    out = out @ w['c_proj.weight'].T + w['c_proj.bias']
    torch.testing.assert_close(pooled[0], torch.from_numpy(out[0]))
    torch.testing.assert_close(dense[0].flatten(1).T, torch.from_numpy(out[1:]))


def test_the_pool_is_that_of_clips_resnet():
    from clamp_mmpose.models import CLIPResNet
    backbone = randomize(CLIPResNet(TINY_RESNET, input_size=(64, 96))).eval()
    pool = DenseAttentionPool(256, 32, input_size=(64, 96), num_heads=4)
    pool.pool.load_state_dict(backbone.tower.attnpool.state_dict())
    with torch.no_grad():
        feats = backbone(torch.randn(2, 3, 96, 64))
        dense, pooled = pool(feats[-1])
    torch.testing.assert_close((dense, pooled), (feats.dense, feats.pooled))


def test_a_pool_takes_maps_and_checkpoints_of_other_sizes():
    small, large = (randomize(DenseAttentionPool(64, 32, input_size=size)) for size in ((64, 64), (128, 64)))
    assert small(torch.randn(1, 64, 3, 5))[0].shape == (1, 32, 3, 5)
    large.load_state_dict(small.state_dict())
    table = small.pool.positional_embedding
    torch.testing.assert_close(large.pool.positional_embedding[0], table[0])
    assert large.pool.positional_embedding.shape == (1 + 2 * 4, 64)
    small.load_state_dict(large.state_dict())  # 2 x 4 is no square: the checkpoint says its grid
    assert small.pool.positional_embedding.shape == (1 + 4, 64)


def test_a_projection_treats_every_position_alike():
    layer, x = randomize(DenseProjection(6, 4)), torch.randn(2, 6, 3, 5)
    dense, pooled = layer(x)
    for y, column in ((0, 0), (2, 4)):
        value = x[:, :, y, column]
        value = (value - value.mean(1, keepdim=True)) / (value.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        expected = (value * layer.norm.weight + layer.norm.bias) @ layer.proj.weight.T
        torch.testing.assert_close(dense[:, :, y, column], expected)
    torch.testing.assert_close(pooled, dense.mean((2, 3)))


def test_a_target_is_a_gaussian_around_each_keypoint():
    keypoints = torch.tensor([[[0.0, 0.0], [17.0, 30.0], [63.0, 47.0], [np.nan, 5.0], [64.0, 3.0], [20.0, 20.0]]])
    visible = torch.tensor([[1.0, 1, 1, 1, 1, 0]])
    target, weight = gaussian_target(keypoints, visible, (64, 48), (3, 4), 0.7)
    assert target.shape == (1, 6, 3, 4) and weight.tolist() == [[1, 1, 1, 0, 0, 0]]
    for k, (x, y) in enumerate(keypoints[0, :3].tolist()):
        for row in range(3):
            for column in range(4):
                # cells are 16 px: the centre of cell i is pixel 16 i + 7.5
                square = ((16 * column + 7.5 - x) / 16)**2 + ((16 * row + 7.5 - y) / 16)**2
                assert target[0, k, row, column] == pytest.approx(np.exp(-square / (2 * 0.7**2)), rel=1e-4)
    assert torch.isfinite(target).all()


def test_keypoints_that_were_not_packed_are_an_error():
    codec = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5)
    samples = pack_batch(codec, 5)['data_samples']
    keypoints, visible = packed_keypoints(samples, torch.zeros(1))
    assert keypoints.shape == (2, 5, 2) and visible.shape == (2, 5)
    samples = pack_batch(codec, 5, pack_transformed=False)['data_samples']
    with pytest.raises(ValueError, match=r"dict\(type='PackPoseInputs', pack_transformed=True\)"):
        packed_keypoints(samples, torch.zeros(1))
