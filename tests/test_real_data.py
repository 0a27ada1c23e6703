"""One epoch, a test and a resumed epoch of the full-size recipes on a few real images, where there are any.

CLAMP_MMPOSE_REAL_DATA names a folder with ``ap10k/test_ap10k.json``, ``coco/test_coco.json``, ``mpii/test_mpii.json``
and their images.
"""
import json
import os
from pathlib import Path

import pytest
from mim_runs import losses, mim

from clamp_mmpose.testing import tiny_blip_model
from clamp_mmpose.tools import cli

ROOT = Path(__file__).resolve().parents[1]
DATA = os.environ.get('CLAMP_MMPOSE_REAL_DATA')

DELTA = """
_base_ = [{config!r}]
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1, save_best=None))
model = dict(backbone=dict(init_cfg=None), neck=dict(text_encoder=dict(init_cfg=None)))
few = dict(data_root={data!r}, ann_file={annotations!r}, data_prefix=dict(img=''))
train_dataloader = dict(batch_size=4, num_workers=0, dataset=few)
val_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(few, bbox_file={boxes!r}))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file={data!r} + {annotations!r})
test_evaluator = val_evaluator
"""


@pytest.mark.skipif(not DATA, reason='CLAMP_MMPOSE_REAL_DATA names no folder of real images')
@pytest.mark.parametrize('name, dataset', [
    ('clamp/clamp_rn50_4xb32-210e_ap10k-256x256', 'ap10k'),
    ('clamp/clamp_vit-b16_4xb32-210e_ap10k-256x256', 'ap10k'),
    ('clamp/clamp_vit-b16_4xb32-210e_coco-256x192', 'coco'),
    ('denseclip/denseclip_rn50_4xb32-210e_coco-256x192', 'coco'),
])
def test_train_test_and_resume_on_real_images(name, dataset, tmp_path):
    data = f'{Path(DATA).resolve()}/{dataset}/'
    config = tmp_path / 'config.py'
    boxes = ''
    if dataset == 'coco':
        detections = json.loads(Path(data, 'test_coco_det_AP_H_56.json').read_text())
        boxes = tmp_path / 'boxes.json'
        boxes.write_text(json.dumps(sorted(detections, key=lambda box: -box['score'])[:8]))
    config.write_text(DELTA.format(
        config=str(ROOT / 'configs' / f'{name}.py'),
        data=data,
        annotations=f'test_{dataset}.json',
        boxes=str(boxes)))
    mim('train', 'mmpose', config, '--work-dir', tmp_path / 'work')
    assert losses(tmp_path / 'work', 1)
    output = mim('test', 'mmpose', config, '--checkpoint', tmp_path / 'work' / 'epoch_1.pth', '--work-dir', tmp_path)
    assert 'coco/AP' in output and 'coco/AR' in output
    mim('train', 'mmpose', config, '--work-dir', tmp_path / 'work', '--resume', '--cfg-options',
        'train_cfg.max_epochs=2')
    assert losses(tmp_path / 'work', 2)
    for checkpoint in (tmp_path / 'work').glob('*.pth'):
        checkpoint.unlink()  # 1.5 GB each


CAPTIONS = """
_base_ = [{config!r}]
train_cfg = dict(max_epochs=1)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
model = dict(pretrained=None, vocabulary='caption', blip={blip!r})
few = dict(data_root={data!r}, data_prefix=dict(img=''))
train_dataloader = dict(num_workers=0, dataset=dict(few, ann_file={folder!r} + 'mpii_captions_train.json'))
val_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(few, ann_file={folder!r} + 'mpii_captions_val.json',
                 headbox_file={folder!r} + 'mpii_captions_gt_val.mat'))
test_dataloader = val_dataloader
"""


@pytest.mark.skipif(not DATA, reason='CLAMP_MMPOSE_REAL_DATA names no folder of real images')
def test_prepare_train_test_and_resume_captions_on_real_images(tmp_path):
    """The recipe with a tiny BLIP, on the files that prepare-mpii-captions makes."""
    data = f'{Path(DATA).resolve()}/mpii/'
    prepared = cli.main(['prepare-mpii-captions', f'{data}test_mpii.json', '--out', str(tmp_path / 'captions')])
    assert prepared == 0
    config = tmp_path / 'config.py'
    config.write_text(CAPTIONS.format(
        config=str(ROOT / 'configs' / 'blip' / 'blip-base_1xb4-25e_mpii-384x384.py'), data=data,
        folder=f'{tmp_path}/captions/', blip=tiny_blip_model()['blip']))
    mim('train', 'mmpose', config, '--work-dir', tmp_path / 'work')
    output = mim('test', 'mmpose', config, '--checkpoint', tmp_path / 'work' / 'epoch_1.pth', '--work-dir', tmp_path)
    assert 'caption/parse_rate: 1.0' in output and 'caption/complete: 1.0' in output and 'PCK@0.1: ' in output
    mim('train', 'mmpose', config, '--work-dir', tmp_path / 'work', '--resume', '--cfg-options',
        'train_cfg.max_epochs=2')
    assert losses(tmp_path / 'work', 2)
