"""Response maps of LOFR, from the tools that users have."""
import cv2
import numpy as np
import pytest
from mmpose.apis import MMPoseInferencer, inference_topdown, init_model
from pose_files import write_model, write_picture

from clamp_mmpose.apis import PoseInferencer
from clamp_mmpose.testing import tiny_lofr_model
from clamp_mmpose.tools.cli import main


@pytest.fixture
def lofr_files(tmp_path):
    return write_model(tmp_path / 'model', neck=None, **tiny_lofr_model(num_keypoints=17))


def show(source):
    return {'model.test_cfg.output_heatmaps': True, 'model.test_cfg.predict_from': source}


@pytest.mark.parametrize('source, side', [('response', 16), ('activation', 2)])
def test_output_heatmaps_gives_the_maps_that_keypoints_are_read_from(lofr_files, tmp_path, source, side):
    image = str(write_picture(tmp_path / '0.png'))
    result, = PoseInferencer(*lofr_files, device='cpu', cfg_options=show(source))([image])
    model = init_model(*lofr_files, device='cpu', cfg_options=show(source))
    sample, = inference_topdown(model, image)
    np.testing.assert_allclose(result.heatmaps[0], sample.pred_fields.heatmaps, rtol=1e-4, atol=1e-7)
    assert result.heatmaps.shape == (1, 17, side, side) and (result.heatmaps >= 0).all()
    sums = result.heatmaps.sum((2, 3))
    assert np.allclose(sums, 1, atol=1e-5) == (source == 'response')


def test_no_maps_are_kept_unasked(lofr_files, tmp_path):
    result, = PoseInferencer(*lofr_files, device='cpu')([str(write_picture(tmp_path / '0.png'))])
    assert result.heatmaps is None and len(result) == 1


def test_mmposes_inferencer_draws_them(lofr_files, tmp_path):
    image = str(write_picture(tmp_path / '0.png'))
    inferencer = MMPoseInferencer(pose2d=lofr_files[0], pose2d_weights=lofr_files[1], det_model='whole_image',
                                  device='cpu')
    drawn = {}
    for draw in (False, True):
        found = next(inferencer(image, return_datasamples=True, draw_heatmap=draw, return_vis=True))
        sample, = found['predictions']
        drawn[draw] = found['visualization'][0]
        assert ('pred_fields' in sample) == draw
    # Reverted to the picture.
    assert sample.pred_fields.heatmaps.shape == (17, 60, 80) and np.ptp(sample.pred_fields.heatmaps) > 0
    assert drawn[True].shape[0] == 2 * drawn[False].shape[0]  # poses, and maps


@pytest.mark.parametrize('source', ['response', 'activation'])
def test_infer_takes_the_options(lofr_files, tmp_path, source):
    image = write_picture(tmp_path / '0.png')
    options = [f'{key}={value}' for key, value in show(source).items()]
    arguments = [str(image), '--config', lofr_files[0], '--checkpoint', lofr_files[1], '--out', str(tmp_path / 'out')]
    assert main(['infer', *arguments, '--device', 'cpu', '--format', 'csv', '--cfg-options', *options]) == 0
    assert cv2.imread(str(tmp_path / 'out' / 'drawn' / '0.png')) is not None
