"""Configs of a tiny BLIP that writes poses as captions, for the tests that run the real tools."""
import runpy
from pathlib import Path

from clamp_mmpose.testing import tiny_blip_model

ROOT = Path(__file__).resolve().parents[1]
SIZE = (64, 64)

CONFIG = """
_base_ = [{runtime!r}]
codec = {codec!r}
model = {model!r}
train_cfg = dict(max_epochs=2, val_interval=2)
randomness = dict(seed=0)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3))
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=1, max_keep_ckpts=-1, save_best='caption/MAE', rule='less'))
dataset_type = {dataset_type!r}
data_mode = 'topdown'
data_root = {data_root!r}
load = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale')]
cut_out = dict(type={transform!r}, input_size=codec['input_size'])
train_pipeline = [*load, dict(type='RandomFlip', direction='horizontal'), cut_out,
                  dict(type='GenerateTarget', encoder=codec), dict(type='PackPoseInputs')]
val_pipeline = [*load, cut_out, dict(type='PackPoseInputs')]
dataset = dict(type=dataset_type, data_root=data_root, data_mode=data_mode, data_prefix=dict(img={pictures!r}))
train_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(dataset, ann_file={train!r}, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(dataset, ann_file={val!r}, test_mode=True, pipeline=val_pipeline, **{val_options!r}))
test_dataloader = val_dataloader
val_evaluator = [dict(type='CaptionPoseMetric', codec=codec), {metric!r}]
test_evaluator = val_evaluator
"""


def write_config(path, names, *, model=None, missing='skip', **fields):
    """A config of two epochs. ``names``: of the table of caption names; ``fields``: the rest of the above."""
    names = runpy.run_path(str(ROOT / 'configs' / '_base_' / 'caption_names' / f'{names}.py'))['caption_names']
    codec = dict(type='CaptionPose', input_size=SIZE, names=names, missing=missing)
    model = tiny_blip_model(codec=codec, **(model or {}))
    path.write_text(CONFIG.format(runtime=str(ROOT / 'configs' / '_base_' / 'default_runtime.py'), codec=codec,
                                  model=model, **fields))
    return path


def toy_config(path, kind, data, model=None):
    """Of toy people in the format of COCO, whose boxes are cut out, or of MPII, whose images are squeezed whole."""
    annotations = f'{data}/annotations/'
    if kind == 'coco':
        fields = dict(
            dataset_type='CheckedCocoDataset', transform='TopdownAffine', val_options={},
            train='annotations/person_keypoints_train.json', val='annotations/person_keypoints_val.json',
            metric=dict(type='CocoMetric', ann_file=f'{annotations}person_keypoints_val.json'))
    else:
        fields = dict(
            dataset_type='CheckedMpiiDataset', transform='WholeImageAffine', train='annotations/mpii_train.json',
            val='annotations/mpii_val.json', val_options=dict(headbox_file=f'{annotations}mpii_gt_val.mat'),
            metric=dict(type='ZeroBasedMpiiPCKAccuracy'))
    return write_config(path, kind, model=model, data_root=f'{data}/', pictures='data/', **fields)
