"""Decoding as tensor operations, against MMPose's codecs in NumPy."""
import numpy as np
import pytest
import torch
from mmpose.registry import KEYPOINT_CODECS

from clamp_mmpose.tools.export.decoding import build_decoding

SIZES = dict(input_size=(48, 80), heatmap_size=(12, 20), sigma=1.5)
CODECS = {
    'msra': dict(type='MSRAHeatmap', **SIZES),
    'msra unbiased': dict(type='MSRAHeatmap', unbiased=True, **SIZES),
    'msra unbiased, small kernel': dict(type='MSRAHeatmap', unbiased=True, blur_kernel_size=5, **SIZES),
    'udp': dict(type='UDPHeatmap', **SIZES),
    'udp, odd ratio': dict(type='UDPHeatmap', input_size=(50, 70), heatmap_size=(12, 20), blur_kernel_size=7),
}


@pytest.fixture(params=CODECS)
def codec(request):
    return KEYPOINT_CODECS.build(CODECS[request.param])


def decode(codec, heatmaps):
    with torch.no_grad():
        keypoints, scores = build_decoding(codec)(torch.from_numpy(heatmaps))
    return keypoints.numpy(), scores.numpy()


def assert_as_the_codec(codec, heatmaps, atol=2e-3):
    keypoints, scores = decode(codec, heatmaps)
    for index, maps in enumerate(heatmaps):
        expected, expected_scores = codec.decode(maps.copy())
        np.testing.assert_allclose(keypoints[index], expected[0], rtol=0, atol=atol)
        np.testing.assert_array_equal(scores[index], expected_scores[0])


def peaks(centres, sigma=1.5, size=(12, 20), height=1.0):
    """A map (H, W) with a Gaussian at each centre (x, y), each of its own size and shape."""
    columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    maps = [height * np.exp(-0.5 * (((columns - x) / sigma)**2 + ((rows - y) / (1.3 * sigma))**2)) for x, y in centres]
    return np.stack(maps).astype(np.float32)


def test_smooth_peaks_anywhere(codec):
    rng = np.random.default_rng(0)
    heatmaps = np.stack([peaks(rng.uniform((-1, -1), (13, 21), (7, 2)), height=rng.uniform(0.1, 1.2))
                         for _ in range(5)])
    heatmaps += rng.normal(0, 0.01, heatmaps.shape).astype(np.float32)
    assert_as_the_codec(codec, heatmaps)


def test_a_peak_in_every_cell_borders_and_corners_too(codec):
    cells = [(x, y) for y in range(20) for x in range(12)]
    heatmaps = peaks([(x + 0.2, y - 0.3) for x, y in cells])[None]
    for k, (x, y) in enumerate(cells):
        heatmaps[0, k, y, x] = 1.1
    keypoints, _ = decode(codec, heatmaps)
    assert_as_the_codec(codec, heatmaps)
    # Not all of them stay on their cell.
    assert (np.abs(keypoints[0] / codec.input_size * codec.heatmap_size - np.array(cells)) > 0.1).any()


def test_of_equal_maxima_the_first_counts(codec):
    heatmaps = peaks([(3, 4), (6, 9), (6, 9)])[None]
    heatmaps[0, 0, 12, 8] = heatmaps[0, 0].max()
    heatmaps[0, 1, 5, 4] = heatmaps[0, 1].max()
    heatmaps[0, 2, 8:11, 5:8] = 1  # a plateau, all around which is the same
    assert_as_the_codec(codec, heatmaps)


def test_neighbours_of_the_same_height_move_nothing():
    codec = KEYPOINT_CODECS.build(CODECS['msra'])
    heatmaps = np.zeros((1, 1, 20, 12), np.float32)
    heatmaps[0, 0, 9, 6] = 1
    np.testing.assert_array_equal(decode(codec, heatmaps)[0], [[[24, 36]]])
    assert_as_the_codec(codec, heatmaps)


def test_a_map_without_a_positive_value_is_outside():
    codec = KEYPOINT_CODECS.build(CODECS['msra'])
    heatmaps = np.stack([peaks([(3, 4)]) - 2, np.zeros((1, 20, 12), np.float32)])
    keypoints, scores = decode(codec, heatmaps)
    np.testing.assert_array_equal(keypoints, np.full((2, 1, 2), -4.0))
    assert (scores <= 0).all()
    assert_as_the_codec(codec, heatmaps)


def test_udp_outside_takes_the_neighbours_that_mmpose_takes():
    """Its indices of a keypoint at (-1, -1) run over into the last map, or the one before."""
    codec = KEYPOINT_CODECS.build(CODECS['udp'])
    heatmaps = peaks([(3, 4), (6, 2), (11, 19)])[None]
    heatmaps[0, :2] -= 1.5
    heatmaps[0, 1] *= 0.5
    assert_as_the_codec(codec, heatmaps)


@pytest.mark.parametrize('config, name', [
    (dict(type='UDPHeatmap', heatmap_type='combined', **SIZES), 'UDPHeatmap with combined maps'),
    (dict(type='MegviiHeatmap', input_size=(48, 80), heatmap_size=(12, 20), kernel_size=5), 'MegviiHeatmap'),
    (dict(type='RegressionLabel', input_size=(48, 80)), 'RegressionLabel'),
])
def test_other_codecs_are_refused(config, name):
    with pytest.raises(ValueError, match=f'keypoints of the codec {name} cannot be computed inside a graph'):
        build_decoding(KEYPOINT_CODECS.build(config))


@pytest.mark.parametrize('name', ['msra unbiased', 'msra unbiased, small kernel'])
def test_low_peaks_are_refined_as_high_ones(name):
    assert_as_the_codec(KEYPOINT_CODECS.build(CODECS[name]), peaks([(3.3, 9.2), (6.4, 7.1)], height=0.0012)[None])


def test_a_flat_neighbourhood_is_not_refined():
    """One cell of 1 among so many below 0 that nothing is left of it when it is blurred."""
    codec = KEYPOINT_CODECS.build(CODECS['msra unbiased, small kernel'])
    heatmaps = np.full((1, 1, 20, 12), -1, np.float32)
    heatmaps[0, 0, 14:] = 0.3
    heatmaps[0, 0, 6, 5] = 1
    np.testing.assert_allclose(decode(codec, heatmaps)[0], [[[20, 24]]])
    assert_as_the_codec(codec, heatmaps)
