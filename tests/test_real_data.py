"""One epoch, a test and a resumed epoch of the full-size recipes on a few real images, where there are any.

CLAMP_MMPOSE_REAL_DATA names a folder with ``ap10k/test_ap10k.json``, ``coco/test_coco.json``, ``mpii/test_mpii.json``
and their images.
"""
import json
import os
from pathlib import Path

import pytest
from caption_runs import write_config
from mim_runs import losses, mim

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


@pytest.mark.skipif(not DATA, reason='CLAMP_MMPOSE_REAL_DATA names no folder of real images')
def test_captions_on_real_images_of_mpii(tmp_path):
    """A tiny BLIP; people with joints that are not annotated among them."""
    annotations = 'test_mpii.json'
    config = write_config(
        tmp_path / 'config.py', 'mpii', dataset_type='CheckedMpiiDataset', transform='WholeImageAffine',
        data_root=f'{Path(DATA).resolve()}/mpii/', pictures='', train=annotations, val=annotations, val_options={},
        metric=dict(type='PCKAccuracy', norm_item='bbox', thr=0.2))
    mim('train', 'mmpose', config, '--work-dir', tmp_path / 'work')
    output = mim('test', 'mmpose', config, '--checkpoint', tmp_path / 'work' / 'epoch_2.pth', '--work-dir', tmp_path)
    assert 'caption/parse_rate: 1.0' in output and 'PCK: ' in output
    mim('train', 'mmpose', config, '--work-dir', tmp_path / 'work', '--resume', '--cfg-options',
        'train_cfg.max_epochs=3')
    assert losses(tmp_path / 'work', 3)
