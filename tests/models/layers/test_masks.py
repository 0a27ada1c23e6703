import pytest
import torch
from torch.testing import assert_close

from clamp_mmpose.models.layers.masks import central_patch, masked_loss, patch_masks, random_patches
from clamp_mmpose.models.layers.windowed_layers import Window


@pytest.mark.parametrize('size, side, patch', [
    ((128, 128), 0.5, Window(32, 96, 32, 96)), ((256, 192), 0.5, Window(64, 192, 48, 144)),
    ((128, 128), 1.0, Window(0, 128, 0, 128)), ((8, 8), 0.01, Window(4, 5, 4, 5)),
])
def test_the_central_patch_lies_in_the_middle(size, side, patch):
    assert central_patch(size, side) == patch


def test_random_patches_have_random_sizes_and_places():
    patches = random_patches(500, (64, 32), (0.25, 0.75))
    heights = [patch.bottom - patch.top for patch in patches]
    assert min(heights) in (16, 17) and max(heights) in (47, 48)
    assert all(abs((patch.right - patch.left) - height / 2) <= 1 for patch, height in zip(patches, heights))
    assert all(0 <= p.top < p.bottom <= 64 and 0 <= p.left < p.right <= 32 for p in patches)
    assert min(p.top for p in patches) == 0 and max(p.bottom for p in patches) == 64
    assert len({p.left for p in patches}) > 10


def test_random_patches_repeat_with_their_generator():
    draw = [random_patches(4, (64, 64), (0.3, 0.7), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]


@pytest.mark.parametrize('squared', [False, True])
def test_the_loss_is_the_mean_over_the_missing_pixels(squared):
    painted, images = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    patches = [Window(0, 3, 2, 8), Window(4, 5, 4, 5)]
    loss = masked_loss(painted, images, patch_masks(patches, (8, 8), images), squared=squared)
    for index, patch in enumerate(patches):
        difference = patch.crop(painted[index]) - patch.crop(images[index])
        assert_close(loss[index], (difference**2 if squared else difference.abs()).mean())
        assert_close(masked_loss(patch.crop(painted), patch.crop(images), squared=squared)[index], loss[index])


@pytest.mark.parametrize('side', [0, -0.5, 1.01, float('nan')])
def test_a_mask_larger_than_the_image_is_an_error(side):
    with pytest.raises(ValueError, match=f'^side={side} must be greater than 0 and at most 1'):
        central_patch((64, 64), side)
    with pytest.raises(ValueError, match=f'^sides={side} must'):
        random_patches(1, (64, 64), (0.5, side))


def test_sides_go_from_small_to_large():
    with pytest.raises(ValueError, match=r'^sides=\(0.7, 0.3\): the first'):
        random_patches(1, (64, 64), (0.7, 0.3))
