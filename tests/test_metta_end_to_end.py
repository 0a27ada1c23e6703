"""MeTTA's three stages with the real tools, as a user runs them: joint, meta, test; and the inferencers."""
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from mim_runs import losses, mim

from clamp_mmpose.apis import BoxFile, PoseInferencer
from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.testing import tiny_metta_model
from clamp_mmpose.tools import cli

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'metta'
DATA = os.environ.get('CLAMP_MMPOSE_REAL_DATA')

STAGE = """
_base_ = [{base!r}]
train_cfg = dict(max_epochs={epochs}, val_interval={epochs})
param_scheduler = [dict(type='ConstantLR', factor=1.0, begin=0, end={epochs}, by_epoch=True)]
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1, save_best=None, max_keep_ckpts=-1))
loader = dict(batch_size=4, num_workers=0, persistent_workers=False)
{load_from}
"""
TOY = """
train_dataloader = dict(loader, dataset=dict(data_root={data!r}))
val_dataloader = dict(loader, dataset=dict(data_root={data!r}))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file={data!r} + 'annotations/person_keypoints_val.json')
test_evaluator = val_evaluator
"""
MPII = """
tiny = {model!r}
model = dict(backbone=dict(tiny['backbone'], init_cfg=None), head=dict(
    in_channels=32, deconv_out_channels=(8, 8), deconv_kernel_sizes=(4, 4), conv_out_channels=(8, 8),
    inpainting=dict(base_channels=2)))
few = dict(data_root={data!r}, data_prefix=dict(img=''))
train_dataloader = dict(loader, dataset=dict(few, ann_file={folder!r} + 'mpii_captions_train.json'))
val_dataloader = dict(loader, dataset=dict(
    few, ann_file={folder!r} + 'mpii_captions_val.json', headbox_file={folder!r} + 'mpii_captions_gt_val.mat'))
test_dataloader = val_dataloader
"""


def train(folder, joint, meta, data):
    """The joint stage, an epoch, and the meta stage, two, by the shipped recipes on ``data``."""
    joint, meta = str(CONFIGS / f'{joint}.py'), str(CONFIGS / f'{meta}.py')
    (folder / 'joint.py').write_text(STAGE.format(base=joint, epochs=1, load_from='') + data)
    load_from = f"load_from = {str(folder / 'joint' / 'epoch_1.pth')!r}"
    (folder / 'meta.py').write_text(STAGE.format(base=meta, epochs=2, load_from=load_from) + data)
    for stage in ('joint', 'meta'):
        output = mim('train', 'mmpose', folder / f'{stage}.py', '--work-dir', folder / stage)
        assert ('has loaded no checkpoint' in output) is False
    return folder


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('three stages')  # a path with spaces
    make_toy_dataset(folder / 'toy', kind='people', train=4, val=3, seed=1)
    return train(folder, 'metta-joint_tiny_1xb16-10e_toypeople-128x128', 'metta-meta_tiny_1xb8-2e_toypeople-128x128',
                 TOY.format(data=f'{folder}/toy/'))


def run_test(folder, stage, checkpoint, *options):
    """Runs mim test; returns the metrics and what it dumped of each person."""
    out, dump = folder / f'{stage}-test' / 'metrics.json', folder / f'{stage}-test' / 'results.pkl'
    mim('test', 'mmpose', folder / f'{stage}.py', '--checkpoint', folder / checkpoint, '--work-dir', out.parent,
        '--out', out, '--dump', dump, *(['--cfg-options', *options] if options else []))
    with dump.open('rb') as file:
        return json.loads(out.read_text()), pickle.load(file)


def compare_with_inferencer(folder, stage, checkpoint, dumped, **cfg_options):
    """Our inferencer gives the dumped poses, whatever its batch size."""
    boxes = BoxFile(folder / 'toy' / 'annotations' / 'person_keypoints_val.json')
    expected = {}
    for sample in dumped:
        keypoints = np.asarray(sample['pred_instances']['keypoints'])[0]
        expected.setdefault(Path(sample['img_path']).name, []).append(keypoints)
    for batch_size in (1, 8):
        inferencer = PoseInferencer(folder / f'{stage}.py', folder / checkpoint, boxes=boxes, device='cpu',
                                    batch_size=batch_size, cfg_options=cfg_options)
        found = {Path(result.path).name: result.keypoints for result in inferencer(folder / 'toy' / 'data')
                 if Path(result.path).name in expected}
        assert found.keys() == expected.keys()
        for name, keypoints in expected.items():
            np.testing.assert_allclose(found[name], keypoints, rtol=0, atol=0.05)


def test_the_meta_stage_trains_by_the_supervised_loss_alone(trained):
    assert None not in losses(trained / 'joint', 1, ('loss', 'loss_kpt', 'loss_auxiliary'))[0]
    meta = losses(trained / 'meta', 2, ('loss', 'loss_kpt', 'loss_auxiliary'))
    assert meta and all(row[0] == row[1] and row[2] is None for row in meta)


def test_an_interrupted_meta_stage_resumes_to_the_same_losses(trained):
    (trained / 'interrupted').mkdir()
    shutil.copy(trained / 'meta' / 'epoch_1.pth', trained / 'interrupted')
    (trained / 'interrupted' / 'last_checkpoint').write_text(str(trained / 'interrupted' / 'epoch_1.pth'))
    mim('train', 'mmpose', trained / 'meta.py', '--work-dir', trained / 'interrupted', '--resume')
    assert losses(trained / 'interrupted', 2) == losses(trained / 'meta', 2)
    assert not losses(trained / 'interrupted', 1)


def test_the_hook_tells_each_step_and_the_inferencer_gives_its_keypoints(trained):
    metrics, dumped = run_test(trained, 'meta', 'meta/epoch_2.pth')
    assert {f'adaptation/step_{step}/coco/AP' for step in range(6)} < set(metrics)
    assert metrics['adaptation/guarded'] < 1
    # The dump has the last step.
    for sample in dumped:
        last = sample['adapted_instances'][-1].keypoint_scores
        np.testing.assert_array_equal(sample['pred_instances']['keypoint_scores'], last)
    assert any((sample['adapted_instances'][0].keypoint_scores != sample['pred_instances']['keypoint_scores']).any()
               for sample in dumped)
    compare_with_inferencer(trained, 'meta', 'meta/epoch_2.pth', dumped)


def test_the_command_line_makes_a_joint_model_adapt(trained):
    metrics, dumped = run_test(
        trained, 'joint', 'joint/epoch_1.pth', 'default_hooks.metta.type=MeTTAHook', 'default_hooks.metta.steps=2',
        'model.test_cfg.flip_test=True', 'test_dataloader.batch_size=1')
    assert {f'adaptation/step_{step}/coco/AP' for step in range(3)} < set(metrics)
    compare_with_inferencer(trained, 'joint', 'joint/epoch_1.pth', dumped,
                            **{'model.test_cfg.adaptation.steps': 2, 'model.test_cfg.flip_test': True})


@pytest.mark.parametrize('flip_test', [False, True])
def test_mmposes_inferencer_adapts(trained, flip_test):
    from mmpose.apis import MMPoseInferencer
    config = trained / f'flip-{flip_test}.py'
    config.write_text(f"_base_ = ['./meta.py']\nmodel = dict(test_cfg=dict(flip_test={flip_test}))\n")
    image = str(next((trained / 'toy' / 'data').glob('*.jpg')))
    inferencer = MMPoseInferencer(pose2d=str(config), pose2d_weights=str(trained / 'meta' / 'epoch_2.pth'),
                                  det_model='whole_image', device='cpu')
    keypoints = np.array(next(inferencer(image))['predictions'][0][0]['keypoints'])
    ours, = PoseInferencer(config, trained / 'meta' / 'epoch_2.pth', device='cpu')(image)
    np.testing.assert_allclose(keypoints, ours.keypoints[0], rtol=0, atol=0.05)


@pytest.mark.skipif(not DATA, reason='CLAMP_MMPOSE_REAL_DATA names no folder of real images')
def test_the_stages_on_real_images(tmp_path):
    """The recipe with a tiny model, on the files that prepare-mpii-captions makes."""
    data = f'{Path(DATA).resolve()}/mpii/'
    assert cli.main(['prepare-mpii-captions', f'{data}test_mpii.json', '--out', str(tmp_path / 'split')]) == 0
    few = MPII.format(data=data, folder=f'{tmp_path}/split/', model=tiny_metta_model())
    train(tmp_path, 'metta-joint_res101_1xb32-140e_mpii-256x256', 'metta-meta_res101_1xb8-20e_mpii-256x256', few)
    metrics, _ = run_test(tmp_path, 'meta', 'meta/epoch_2.pth')
    assert {f'adaptation/step_{step}/PCK' for step in range(6)} < set(metrics)
