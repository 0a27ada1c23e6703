"""Files of a tiny pose model, and small pictures and videos, for the tests of inference."""
import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from clamp_mmpose.testing import randomize, tiny_clamp_model

NAMES = Config.fromfile('configs/_base_/keypoint_names/ap10k.py').keypoint_names
PIPELINE = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=(64, 64)),
    dict(type='PackPoseInputs'),
]


def write_model(folder, *, meta=None, pipeline=PIPELINE, **changes):
    """Writes a config and a checkpoint of random weights; returns their paths. ``changes`` replace parts of the model."""
    model = tiny_clamp_model('vit', names=NAMES) | changes
    dataset = dict(
        type='AP10KDataset', data_mode='topdown', ann_file='none.json', data_prefix=dict(img=''), pipeline=pipeline)
    loader = dict(dataset=dataset)
    folder.mkdir(parents=True, exist_ok=True)
    Config(dict(default_scope='mmpose', model=model, dataset_type='AP10KDataset', data_mode='topdown',
                visualizer=dict(type='PoseLocalVisualizer', vis_backends=[]), train_dataloader=loader, test_dataloader=loader)).dump(folder / 'tiny.py')
    weights = randomize(MODELS.build(model)).state_dict()
    torch.save(dict(state_dict=weights, meta=meta or {}), folder / 'tiny.pth')
    return str(folder / 'tiny.py'), str(folder / 'tiny.pth')


def picture(seed=0, height=60, width=80):
    """(H, W, 3): blurred noise, so that JPEG changes it little and no two places are alike."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3) * 3


def write_picture(path, seed=0, **size):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture(seed, **size))
    return path


def write_video(path, frames=7, fps=5, codec='MJPG'):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (80, 60))
    assert writer.isOpened()
    for index in range(frames):
        writer.write(picture(index))
    writer.release()
    return path
