"""Whole DenseCLIP models: half precision, one graph under torch.compile, and the real tools."""
import copy
import json

import pytest
import torch
from mim_runs import mim
from mmengine.config import Config
from mmpose.models import build_pose_estimator
from test_end_to_end import DELTA, ROOT

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.testing import pack_batch, randomize, shrink_model

PROMPTING = ('post', 'pre', 'language', 'template')
RECIPE = ROOT / 'configs/denseclip/denseclip_rn50_4xb32-210e_ap10k-256x256.py'


def make(prompting, dropout=0.1):
    config = Config.fromfile(RECIPE)
    config.model.neck.prompting = prompting
    config.model.neck.context_decoder = dict(width=32, dropout=dropout)
    model = shrink_model(config.model)
    model['train_cfg'] = dict(compute_acc=False)  # MMPose's accuracy leaves the graph for NumPy
    model = randomize(build_pose_estimator(model)).train()
    return model, model.data_preprocessor(pack_batch(config.codec, 17), True)


def gradients(model, run, data):
    losses = run(**copy.deepcopy(data), mode='loss')
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize('prompting', PROMPTING)
def test_bfloat16_trains_with_finite_gradients(prompting):
    model, data = make(prompting)
    with torch.autocast('cpu', torch.bfloat16):
        losses, grads = gradients(model, model, data)
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(torch.isfinite(grad).all() for grad in grads.values())
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert set(grads) == trainable


@pytest.mark.parametrize('prompting', ['post', pytest.param('pre', marks=pytest.mark.slow)])
def test_the_compiled_loss_is_one_graph_with_the_same_gradients(prompting):
    torch._dynamo.reset()
    (eager, data), (compiled, _) = make(prompting, 0.0), make(prompting, 0.0)
    expected = gradients(eager, eager, data)
    actual = gradients(compiled, torch.compile(compiled, fullgraph=True, backend='eager'), data)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('config', [
    'tiny', *(pytest.param(name, marks=pytest.mark.slow) for name in (
        'tiny-pre', 'tiny-language', 'tiny-template', 'tiny-resnet18', 'tiny-resnet18-attnpool'))])
def test_mim_trains_tests_and_draws_a_toy(config, tmp_path):
    make_toy_dataset(tmp_path / 'toy', train=8, val=4)
    base = ROOT / f'configs/denseclip/denseclip_{config}_1xb16-30e_toyanimals-128x128.py'
    delta = DELTA.replace('model = dict(backbone=dict(drop_path_rate=0.2))\n', '')
    (tmp_path / 'config.py').write_text(delta.format(config=str(base), data=f'{tmp_path}/toy/'))
    mim('train', 'mmpose', tmp_path / 'config.py', '--work-dir', tmp_path / 'work')
    mim('test', 'mmpose', tmp_path / 'config.py', '--checkpoint', tmp_path / 'work/epoch_2.pth', '--work-dir',
        tmp_path / 'test', '--out', tmp_path / 'metrics.json')
    assert 0 <= json.loads((tmp_path / 'metrics.json').read_text())['coco/AP'] <= 1
    from clamp_mmpose.tools.cli import main
    assert main(['visualize', str(tmp_path / 'config.py'), str(tmp_path / 'work/epoch_2.pth'), '--num', '1', '--out',
                 str(tmp_path / 'pictures')]) == 0
    assert {path.name for path in (tmp_path / 'pictures').iterdir()} == {'poses.png', 'score_maps_1.png'}
