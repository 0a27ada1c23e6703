"""MeTTAHook on the datasets of MeTTA, with the metric of each."""
import json

import cv2
import numpy as np
import pytest
import torch
from human36m_files import write_human36m
from mmengine.runner import Runner
from mmpose.models import build_pose_estimator
from mpii_release import Release
from penn_action_release import make_labels, write_video

from clamp_mmpose.datasets.mpii import prepare_captions
from clamp_mmpose.testing import randomize, tiny_metta_model

CODEC = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5)
PACK = dict(type='PackPoseInputs', meta_keys=('id', 'img_id', 'img_path', 'video', 'ori_shape', 'input_size',
                                              'input_center', 'input_scale', 'flip_indices', 'dataset_name'))


def penn_action(root):
    for index in range(3):
        write_video(root, f'000{index + 1}', make_labels(2, train=-1, seed=index))
    return dict(type='PennActionDataset', split='test', data_root=str(root)), 13


def human36m(root):
    write_human36m(root)
    return dict(type='CheckedCocoDataset', data_root=str(root), ann_file='h36m_coco_test.json',
                data_prefix=dict(img='images/'),
                metainfo=dict(from_file='configs/_base_/datasets/h36m.py')), 17


def mpii(root):
    path = Release().people(10).write(root / 'mpii.mat')
    for name, content in prepare_captions([path]).contents.items():
        (root / name).write_bytes(content)
    (root / 'images').mkdir()
    records = json.loads((root / 'mpii_captions_val.json').read_text())
    for record in records:
        cv2.imwrite(str(root / 'images' / record['image']), np.full((400, 400, 3), 90, dtype=np.uint8))
    return dict(type='CheckedMpiiDataset', data_root=str(root), ann_file='mpii_captions_val.json',
                headbox_file=str(root / 'mpii_captions_gt_val.mat'), data_prefix=dict(img='images/')), 16


def run(root, dataset, num_keypoints, metric, **hook):
    transforms = ['LoadImage', 'GetBBoxCenterScale', *([] if 'Mpii' in dataset['type'] else ['ShiftBBoxCenter'])]
    pipeline = [*(dict(type=name) for name in transforms), dict(type='TopdownAffine', input_size=(64, 64)), PACK]
    torch.manual_seed(0)
    model = randomize(build_pose_estimator(tiny_metta_model(num_keypoints=num_keypoints, codec=CODEC)))
    runner = Runner(
        model, str(root / 'work'), default_scope='mmpose', experiment_name=f'{root.name}-{len(hook)}',
        custom_hooks=[dict(type='mmpose.MeTTAHook', lr=1e-4, **hook)], test_cfg=dict(), test_evaluator=metric,
        test_dataloader=dict(batch_size=2, num_workers=0, persistent_workers=False, sampler=dict(
            type='DefaultSampler', shuffle=False), dataset=dict(dataset, test_mode=True, pipeline=pipeline)))
    started = []
    hook, = (hook for hook in runner.hooks if type(hook).__name__ == 'MeTTAHook')
    starts_anew = hook.adaptation._starts_anew
    hook.adaptation._starts_anew = lambda *args: started.append(starts_anew(*args)) or started[-1]
    return runner.test(), started


@pytest.mark.parametrize('make, metric, keys', [
    (penn_action, dict(type='TorsoPCKAccuracy', use_hidden=True), {'torso_pck/PCK@0.2', 'torso_pck/PCK/right_ankle'}),
    (human36m, dict(type='TorsoPCKAccuracy'), {'torso_pck/PCK@0.2', 'torso_pck/PCK/neck_base'}),
    (mpii, dict(type='ZeroBasedMpiiPCKAccuracy'), {'PCK', 'PCK@0.1', 'Elbow PCK'}),
], ids=['pennaction', 'h36m', 'mpii'])
def test_each_dataset_is_measured_after_every_step(tmp_path, make, metric, keys):
    dataset, num_keypoints = make(tmp_path)
    found, _ = run(tmp_path, dataset, num_keypoints, metric, steps=2)
    for key in keys:
        assert found[f'adaptation/step_2/{key}'] == found[key]
        assert {f'adaptation/step_{step}/{key}' for step in range(3)} <= set(found)


@pytest.mark.parametrize('make, reset, new', [
    (penn_action, None, [True, False] * 3),
    (penn_action, 'video', [True, False] * 3),
    (human36m, None, [True, False] * 2),
], ids=['pennaction', 'pennaction-video', 'h36m'])
def test_videos_are_told_apart(tmp_path, make, reset, new):
    dataset, num_keypoints = make(tmp_path)
    _, started = run(tmp_path, dataset, num_keypoints, dict(type='TorsoPCKAccuracy'), steps=1, scope='video',
                     reset=reset, accuracy=False)
    assert started == new
