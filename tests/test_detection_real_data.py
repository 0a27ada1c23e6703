"""One epoch and a test of the full-size detectors on a few real images, where there are any, at a reduced scale.

CLAMP_MMPOSE_REAL_DATA names a folder with ``coco/test_coco.json`` and its images.
"""
import json
import os
from pathlib import Path

import pytest
from mim_runs import mim
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
DATA = os.environ.get('CLAMP_MMPOSE_REAL_DATA')
NAMES = Config.fromfile(ROOT / 'configs' / '_base_' / 'class_names' / 'coco_classes.py').class_names

DELTA = """
_base_ = [{config!r}]
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
model = dict(
    backbone=dict(init_cfg=None), neck=dict(text_encoder=dict(init_cfg=None)),
    test_cfg={test_cfg!r})  # so little training leaves every score low
for pipeline in (_base_.train_pipeline, _base_.test_pipeline):
    next(transform for transform in pipeline if transform.type == 'Resize').scale = (333, 200)
few = dict(data_root={data!r}, ann_file={annotations!r}, data_prefix=dict(img=''))
train_dataloader = dict(num_workers=0, dataset=dict(few, pipeline=_base_.train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(few, pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file={annotations!r})
test_evaluator = val_evaluator
"""


@pytest.mark.skipif(not DATA, reason='CLAMP_MMPOSE_REAL_DATA names no folder of real images')
@pytest.mark.parametrize('detector, test_cfg, metrics', [
    ('retinanet', dict(score_thr=0.0), {'coco/bbox_mAP'}),
    ('mask-rcnn', dict(rcnn=dict(score_thr=0.0)), {'coco/bbox_mAP', 'coco/segm_mAP'}),
])
def test_a_detector_of_coco_trains_and_tests_on_real_images(detector, test_cfg, metrics, tmp_path):
    data = f'{Path(DATA).resolve()}/coco/'
    content = json.loads(Path(data, 'test_coco.json').read_text())
    # The file of keypoints knows people only; a detector's has all classes.
    content['categories'] = [dict(id=number, name=name) for number, name in enumerate(NAMES, start=1)]
    annotations, config = tmp_path / 'instances.json', tmp_path / 'config.py'
    annotations.write_text(json.dumps(content))
    config.write_text(DELTA.format(
        config=str(ROOT / 'configs' / 'denseclip' / f'denseclip_rn50-{detector}_8xb2-12e_coco-det.py'),
        data=data,
        annotations=str(annotations),
        test_cfg=test_cfg))
    mim('train', 'mmdet', config, '--work-dir', tmp_path / 'work')
    checkpoint = tmp_path / 'work' / 'epoch_1.pth'
    (scalars, ) = (tmp_path / 'work').glob('*/vis_data/scalars.json')
    steps = [json.loads(line) for line in scalars.read_text().splitlines() if '"loss"' in line]
    assert len(steps) == 2 and all(step['loss_score'] > 0 for step in steps)
    mim('test', 'mmdet', config, '--checkpoint', checkpoint, '--work-dir', tmp_path / 'test')
    checkpoint.unlink()  # 1 GB
    (result, ) = (tmp_path / 'test').glob('*/*.json')
    found = json.loads(result.read_text())
    assert metrics <= set(found) and all(0 <= found[metric] <= 1 for metric in metrics)
