"""Resizing the whole image: picture, keypoints and the way back agree."""
import re

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.datasets.transforms import GetBBoxCenterScale, PackPoseInputs, RandomFlip, TopdownAffine
from mmpose.models import TopdownPoseEstimator
from mmpose.registry import TRANSFORMS
from PIL import Image

from clamp_mmpose.datasets.transforms import WholeImageAffine

SIZES = [(640, 360), (90, 200), (64, 48), (50, 37)]  # larger and smaller than 64x48, and equal


def blob(width, height, x, y, radius):
    rows, columns = np.mgrid[:height, :width]
    value = 250 * np.exp(-((columns - x)**2 / radius[0]**2 + (rows - y)**2 / radius[1]**2) / 2)
    return np.repeat(value[..., None], 3, axis=2)


def centre(image):
    rows, columns = np.mgrid[:image.shape[0], :image.shape[1]]
    weights = image[..., 0].astype(float)
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()


def sample(width, height, keypoints, **more):
    return dict(
        img=np.zeros((height, width, 3), np.uint8), img_shape=(height, width), ori_shape=(height, width),
        bbox=np.array([[1, 2, width - 3, height - 4]], np.float32), bbox_score=np.ones(1, np.float32),
        keypoints=np.array(keypoints, np.float32)[None], keypoints_visible=np.ones((1, len(keypoints)), np.float32),
        flip_indices=list(range(len(keypoints)))[::-1], id=0, img_id=0, img_path='', category_id=1, **more)


def map_back(packed, keypoints):
    """As MMPose's top-down estimators take predictions from the input to the image."""
    predicted = InstanceData(keypoints=keypoints.copy(), keypoint_scores=np.ones(keypoints.shape[:2]))
    (result, ) = TopdownPoseEstimator.add_pred_to_datasample(
        torch.nn.Module.__new__(_Estimator), [predicted], None, [packed['data_samples']])
    return result.pred_instances.keypoints


class _Estimator(TopdownPoseEstimator):
    test_cfg = {}


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('interpolation', ['bicubic', 'bilinear'])
@pytest.mark.parametrize('width, height', SIZES)
def test_the_picture_lies_where_the_keypoint_says(width, height, interpolation, dtype):
    point = np.array([0.47 * width, 0.55 * height])
    image = blob(width, height, *point, radius=(0.08 * width, 0.08 * height))
    results = sample(width, height, [point]) | dict(img=image.astype(dtype))
    results = WholeImageAffine((64, 48), interpolation).transform(results)
    assert results['img'].shape == (48, 64, 3) and results['img'].dtype == dtype
    np.testing.assert_allclose(results['transformed_keypoints'][0, 0], point * (64 / width, 48 / height), rtol=1e-6)
    np.testing.assert_allclose(centre(results['img']), results['transformed_keypoints'][0, 0], atol=0.02)


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('width, height', SIZES)
def test_predictions_return_to_the_image_exactly(width, height, flip):
    keypoints = np.array([[0, 0], [width - 1, height - 1], [0.3 * width, 0.7 * height], [-5, height + 3]])
    results = RandomFlip(prob=1.0 if flip else 0.0).transform(sample(width, height, keypoints))
    where = results['keypoints'].copy()
    if flip:
        np.testing.assert_allclose(where[0], (keypoints * (-1, 1) + (width - 1, 0))[::-1], rtol=1e-6)
    results = WholeImageAffine((64, 48)).transform(results)
    packed = PackPoseInputs().transform(results)
    np.testing.assert_allclose(map_back(packed, results['transformed_keypoints']), where, atol=1e-4)


def test_after_a_flip_the_picture_lies_where_the_keypoint_says():
    results = sample(200, 90, [[60, 40]]) | dict(img=blob(200, 90, 60, 40, (12, 8)).astype(np.uint8))
    results = WholeImageAffine((64, 48)).transform(RandomFlip(prob=1.0).transform(results))
    np.testing.assert_allclose(results['transformed_keypoints'][0, 0], [139 * 64 / 200, 40 * 48 / 90], rtol=1e-6)
    np.testing.assert_allclose(centre(results['img']), results['transformed_keypoints'][0, 0], atol=0.05)


def test_it_is_a_crop_of_the_whole_image_in_mmposes_convention():
    """With a box of the whole image, in the input's aspect, TopdownAffine does the same."""
    image = blob(128, 96, 70, 30, (10, 10)).astype(np.uint8)
    whole, crop = sample(128, 96, [[70, 30], [5, 90]]), sample(128, 96, [[70, 30], [5, 90]])
    crop['bbox'] = np.array([[0, 0, 128, 96]], np.float32)
    crop = TopdownAffine((64, 48)).transform(GetBBoxCenterScale(padding=1.0).transform(crop | dict(img=image)))
    whole = WholeImageAffine((64, 48), 'bilinear').transform(whole | dict(img=image))
    for key in ('transformed_keypoints', 'input_center', 'input_scale', 'input_size'):
        np.testing.assert_allclose(whole[key], crop[key], rtol=1e-6, atol=1e-5)
    assert np.abs(whole['img'].astype(int) - crop['img']).max() <= 6


def test_an_image_of_the_right_size_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    resized = WholeImageAffine((64, 48)).transform(sample(64, 48, [[1, 1]]) | dict(img=image))['img']
    np.testing.assert_array_equal(resized, image)


def test_fine_patterns_are_averaged_not_sampled():
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[:, ::2] = 254
    image = WholeImageAffine((64, 48)).transform(sample(640, 480, [[1, 1]]) | dict(img=stripes))['img']
    assert np.abs(image[2:-2, 2:-2].astype(int) - 127).max() <= 3


def test_the_filter_is_that_of_blips_image_processor():
    """Beside the shift to MMPose's convention: where that is a whole pixel of the image, the same values."""
    image = np.random.default_rng(0).integers(0, 256, (144, 192, 3), dtype=np.uint8)
    ours = WholeImageAffine((64, 48)).transform(sample(192, 144, [[1, 1]]) | dict(img=image))['img']
    shifted = np.pad(image, ((1, 0), (1, 0), (0, 0)), mode='edge')[:-1, :-1]  # a third the size: by one pixel
    theirs = np.asarray(Image.fromarray(shifted).resize((64, 48), Image.BICUBIC))
    assert np.abs(ours[2:-2, 2:-2].astype(int) - theirs[2:-2, 2:-2]).max() <= 1


def test_without_keypoints_it_serves_the_inferencer():
    results = sample(90, 200, [[1, 1]])
    del results['keypoints'], results['keypoints_visible']
    packed = PackPoseInputs().transform(WholeImageAffine((64, 48)).transform(results))
    assert packed['inputs'].shape == (3, 48, 64)
    corner = np.array([[[64., 48.]]])
    np.testing.assert_allclose(map_back(packed, corner), [[[90, 200]]])


def test_more_values_of_a_keypoint_and_lists_of_images_are_kept():
    results = sample(128, 96, [[10, 20]])
    results['keypoints'] = np.array([[[10, 20, 7]]], np.float32)
    results['img'] = [results['img'], results['img'] + 5]
    results = WholeImageAffine((64, 48)).transform(results)
    assert results['transformed_keypoints'].tolist() == [[[5, 10, 7]]]
    assert results['keypoints'].tolist() == [[[10, 20, 7]]]
    assert [image.shape for image in results['img']] == [(48, 64, 3)] * 2 and results['img'][1].max() == 5


@pytest.mark.parametrize('arguments, said', [
    (dict(input_size=(64, )), 'input_size=(64,) must be two whole numbers above 0'),
    (dict(input_size=(64, 0)), 'input_size=(64, 0) must be two whole numbers above 0'),
    (dict(input_size=(64., 48)), 'input_size=(64.0, 48) must be two whole numbers above 0'),
    (dict(input_size=(64, 48), interpolation='area'), "interpolation='area' must be 'bicubic' or 'bilinear'"),
])
def test_arguments_that_make_no_sense(arguments, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        WholeImageAffine(**arguments)


def test_it_is_in_mmposes_registry():
    transform = TRANSFORMS.build(dict(type='WholeImageAffine', input_size=[64, 48]))
    assert repr(transform) == "WholeImageAffine(input_size=(64, 48), interpolation='bicubic')"
