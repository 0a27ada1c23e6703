import cv2
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.testing import tiny_clamp_model
from clamp_mmpose.tools.cli import main

NAMES = Config.fromfile('configs/_base_/keypoint_names/ap10k.py').keypoint_names
PIPELINE = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=(64, 64)),
    dict(type='PackPoseInputs'),
]


@pytest.fixture(scope='module')
def toy_root(tmp_path_factory):
    """Some drawn animals."""
    root = tmp_path_factory.mktemp('toy')
    make_toy_dataset(root, train=1, val=3)
    return root


@pytest.fixture
def files(toy_root, tmp_path):
    """Writes a config and its checkpoint; returns their paths. Keyword arguments replace parts of the model."""

    def write(**changes):
        model = tiny_clamp_model('vit', names=NAMES) | changes
        dataset = dict(
            type='AP10KDataset',
            data_root=str(toy_root),
            data_mode='topdown',
            ann_file='annotations/ap10k-val-split1.json',
            bbox_file='detections.json',  # is not there, and has no ground truth
            data_prefix=dict(img='data/'),
            test_mode=True,
            pipeline=PIPELINE)
        config = dict(default_scope='mmpose', model=model, val_dataloader=dict(dataset=dataset))
        Config(config).dump(tmp_path / 'config.py')
        torch.save(dict(state_dict=MODELS.build(model).state_dict(), meta={}), tmp_path / 'weights.pth')
        return str(tmp_path / 'config.py'), str(tmp_path / 'weights.pth')

    return write


def test_pictures_are_written_and_named(files, tmp_path, capsys):
    out = tmp_path / 'new' / 'pictures'
    assert main(['visualize', *files(), '--out', str(out), '--num', '2', '--keypoints', 'nose', 'LEFT_EYE']) == 0
    expected = [str(out / name) for name in ('poses.png', 'score_maps_1.png', 'score_maps_2.png')]
    assert capsys.readouterr().out.splitlines()[-3:] == expected
    for path in expected:
        picture = cv2.imread(path)
        assert min(picture.shape[:2]) > 200 and picture.std() > 10


def test_a_model_without_score_maps_gives_one_picture(files, tmp_path, capsys):
    head = dict(type='HeatmapHead', in_channels=32, out_channels=17, decoder=tiny_clamp_model()['head']['decoder'],
                deconv_out_channels=(16, 16), deconv_kernel_sizes=(4, 4))
    assert main(['visualize', *files(neck=None, head=head), '--out', str(tmp_path / 'out'), '--num', '1']) == 0
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['poses.png']


def test_the_seed_chooses_the_images(files, tmp_path):
    pictures = []
    for seed in '01':  # seeds that happen to begin with different animals
        arguments = ['--num', '1', '--keypoints', 'nose', '--seed', seed, '--out', str(tmp_path / seed)]
        assert main(['visualize', *files(), *arguments]) == 0
        pictures.append((tmp_path / seed / 'poses.png').read_bytes())
    assert pictures[0] != pictures[1]


def test_an_unknown_keypoint_lists_the_known_ones(files, tmp_path, capsys):
    assert main(['visualize', *files(), '--out', str(tmp_path / 'out'), '--keypoints', 'nose', 'beak']) == 2
    error = capsys.readouterr().err
    assert "'beak'" in error and all(name in error for name in NAMES)
    assert not (tmp_path / 'out').exists()


def test_a_missing_checkpoint_is_named(files, tmp_path, capsys):
    config, _ = files()
    assert main(['visualize', config, str(tmp_path / 'none.pth'), '--out', str(tmp_path / 'out')]) == 2
    assert 'none.pth' in capsys.readouterr().err


def test_options_change_the_config(files, tmp_path, capsys):
    option = 'val_dataloader.dataset.ann_file=annotations/none.json'
    assert main(['visualize', *files(), '--out', str(tmp_path / 'out'), '--cfg-options', option]) == 2
    assert 'none.json' in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason='a CUDA device is there')
def test_a_device_that_is_not_there_is_named(files, tmp_path, capsys):
    assert main(['visualize', *files(), '--out', str(tmp_path / 'out'), '--device', 'cuda']) == 2
    assert '--device cuda: PyTorch finds no CUDA device' in capsys.readouterr().err
