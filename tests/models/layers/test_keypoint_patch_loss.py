import math

import pytest
import torch

from clamp_mmpose.models.layers.keypoint_patch_loss import KeypointPatchLoss


def _loss(**arguments):
    return KeypointPatchLoss(**dict(dict(channels=8, num_keypoints=3, grid=(4, 2), input_size=(64, 32)), **arguments))


def test_a_loop_over_the_patches_gives_the_same():
    torch.manual_seed(0)
    loss, image = _loss(), torch.randn(2, 9, 8)
    keypoints = torch.rand(2, 3, 2) * torch.tensor([64., 32.])
    labelled = torch.tensor([[True, False, True], [True, True, True]])
    parts = []
    for b in range(2):
        for k in range(3):
            scores = [float(image[b, 1 + patch] @ loss.layer.weight[k] + loss.layer.bias[k]) for patch in range(8)]
            right = int(keypoints[b, k, 1] // 16) * 4 + int(keypoints[b, k, 0] // 16)
            if labelled[b, k]:
                parts.append(math.log(sum(map(math.exp, scores))) - scores[right])
    assert float(loss(image, keypoints, labelled)) == pytest.approx(sum(parts) / len(parts), rel=1e-5)


def test_keypoints_at_the_border_are_in_the_last_patch():
    torch.manual_seed(0)
    loss, image = _loss(), torch.randn(1, 9, 8)
    labelled = torch.ones(1, 3, dtype=torch.bool)
    inside, outside = torch.tensor([63.9, 31.9]).expand(1, 3, 2), torch.tensor([64., 40.]).expand(1, 3, 2)
    torch.testing.assert_close(loss(image, inside, labelled), loss(image, outside, labelled))


def test_nothing_labelled_is_no_loss():
    image = torch.randn(1, 9, 8, requires_grad=True)
    value = _loss()(image, torch.zeros(1, 3, 2), torch.zeros(1, 3, dtype=torch.bool))
    value.backward()
    assert float(value) == 0 and float(image.grad.abs().max()) == 0
