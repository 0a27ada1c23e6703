"""The real tools on captions of generated people, as a user runs them: train, test, resume, and the inferencers."""
import csv
import json
import shutil

import numpy as np
import pytest
import torch
from caption_runs import toy_config
from mim_runs import losses, mim
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import KEYPOINT_CODECS, MODELS

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.testing import save_blip_folder
from clamp_mmpose.tools import cli


@pytest.fixture(scope='module', params=[
    # MPII's images whole, from the weights of a Hugging Face folder that is gone when it comes to testing
    'mpii',
    # COCO's boxes cut out, from random weights
    pytest.param('coco', marks=pytest.mark.slow),
])
def trained(request, tmp_path_factory):
    """A folder with data, a config of two epochs, ``straight`` and ``interrupted``, the work directories of trainings
    at a stretch and resumed after the first epoch."""
    folder = tmp_path_factory.mktemp('end to end')  # a path with spaces
    make_toy_dataset(folder / 'toy', kind='people', train=6, val=3, seed=1)
    config = toy_config(folder / 'config.py', request.param, folder / 'toy')
    if request.param == 'mpii':
        init_default_scope('mmpose')
        model = MODELS.build(Config.fromfile(config).model)
        blip = save_blip_folder(model, folder / 'blip')
        toy_config(config, request.param, folder / 'toy', dict(pretrained=str(blip)))
    mim('train', 'mmpose', config, '--work-dir', folder / 'straight')
    (folder / 'interrupted').mkdir()
    shutil.copy(folder / 'straight' / 'epoch_1.pth', folder / 'interrupted')
    (folder / 'interrupted' / 'last_checkpoint').write_text(str(folder / 'interrupted' / 'epoch_1.pth'))
    mim('train', 'mmpose', config, '--work-dir', folder / 'interrupted', '--resume')
    if request.param == 'mpii':
        shutil.rmtree(folder / 'blip')
    return folder


def test_an_interrupted_training_resumes_to_the_same_losses(trained):
    names = ('loss', 'loss_caption', 'acc_token', 'acc_digit')
    resumed = losses(trained / 'interrupted', 2, names)
    assert len(resumed) >= 2 and None not in resumed[0] and not losses(trained / 'interrupted', 1, names)
    assert resumed == losses(trained / 'straight', 2, names)


def test_test_reports_pixels_and_mmposes_own_metric(trained):
    output = mim('test', 'mmpose', trained / 'config.py', '--checkpoint', trained / 'straight' / 'epoch_2.pth',
                 '--work-dir', trained / 'test', '--out', trained / 'test' / 'metrics.json')
    metrics = json.loads((trained / 'test' / 'metrics.json').read_text())
    assert metrics['caption/parse_rate'] == 1  # constrained decoding
    assert {'caption/MAE', 'caption/accuracy@25', 'caption/accuracy@5', 'caption/accuracy@1', 'caption/exact',
            'caption/complete'} < set(metrics)
    assert {'PCK', 'coco/AP'} & set(metrics)
    assert 'poses with labels' in output and '<= 25 px' in output


def test_a_checkpoint_is_safe_to_read(trained):
    state = torch.load(trained / 'straight' / 'epoch_2.pth', map_location='cpu', weights_only=True)
    assert state['meta']['epoch'] == 2


def test_mmposes_inferencer_draws_poses(trained):
    from mmpose.apis import MMPoseInferencer
    inferencer = MMPoseInferencer(
        pose2d=str(trained / 'config.py'), pose2d_weights=str(trained / 'straight' / 'epoch_2.pth'),
        det_model='whole_image', device='cpu')
    image = str(next((trained / 'toy' / 'data').glob('*.jpg')))
    plain, drawn = (next(inferencer(image, return_vis=True, kpt_thr=threshold, out_dir=str(trained / 'out')))
                    for threshold in (2, 0))
    assert np.array(drawn['predictions'][0][0]['keypoints']).shape in ((16, 2), (17, 2))
    assert list((trained / 'out' / 'visualizations').glob('*.jpg'))
    assert (plain['visualization'][0] != drawn['visualization'][0]).any()


def test_infer_draws_and_writes_poses(trained, tmp_path):
    status = cli.main(['infer', str(trained / 'toy' / 'data'), '--config', str(trained / 'config.py'), '--checkpoint',
                       str(trained / 'straight' / 'epoch_2.pth'), '--out', str(tmp_path), '--device', 'cpu',
                       '--format', 'coco', 'csv', 'dlc', '--kpt-thr', '0'])
    assert status == 0
    results = json.loads((tmp_path / 'keypoints.json').read_text())
    assert len(results) == len([*(tmp_path / 'drawn').glob('*.jpg')]) == 9
    codec = KEYPOINT_CODECS.build(Config.fromfile(trained / 'config.py').codec)
    with (tmp_path / 'keypoints.csv').open(newline='') as file:
        rows = [*csv.DictReader(file)]
    for number, result in enumerate(results):
        valid = codec.decode(result['caption']).valid[0]
        keypoints = np.reshape(result['keypoints'], (-1, 3))
        assert ((keypoints[:, 2] > 0) == valid).all() and (keypoints[~valid] == 0).all()
        table = rows[number * len(valid):(number + 1) * len(valid)]
        assert [row['x'] != '' for row in table] == valid.tolist()


def test_infer_has_no_flip_test(trained, tmp_path, capsys):
    status = cli.main(['infer', str(trained / 'toy' / 'data'), '--config', str(trained / 'config.py'), '--checkpoint',
                       str(trained / 'straight' / 'epoch_2.pth'), '--out', str(tmp_path), '--device', 'cpu',
                       '--flip-test'])
    assert status == 2 and 'BLIPCaptionPoseEstimator has no head that averages' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_training_needs_the_folder(trained):
    config = Config.fromfile(trained / 'config.py').model
    if 'pretrained' not in config:
        pytest.skip('from random weights')
    init_default_scope('mmpose')
    with pytest.raises(FileNotFoundError, match=rf'{trained}/blip.* training needs'):
        MODELS.build(config).init_weights()
