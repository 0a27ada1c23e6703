"""Files of a tiny pose model, and small pictures and videos, for the tests of inference."""
import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from clamp_mmpose.testing import randomize, tiny_clamp_model

NAMES = Config.fromfile('configs/_base_/keypoint_names/ap10k.py').keypoint_names
DETECTOR = 'configs/denseclip/denseclip_tiny-retinanet_1xb8-24e_toyanimals-det.py'
PIPELINE = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=(64, 64)),
    dict(type='PackPoseInputs'),
]


def write_model(folder, *, meta=None, pipeline=PIPELINE, **changes):
    """Writes a config and a checkpoint of random weights, and returns their paths.

    ``changes`` replace parts of the model.
    """
    model = tiny_clamp_model('vit', names=NAMES) | changes
    dataset = dict(
        type='AP10KDataset', data_mode='topdown', ann_file='none.json', data_prefix=dict(img=''), pipeline=pipeline)
    loader = dict(dataset=dataset)
    folder.mkdir(parents=True, exist_ok=True)
    init_default_scope('mmpose')  # a fixture of a module runs before each test sets it
    config = dict(
        default_scope='mmpose',
        model=model,
        dataset_type='AP10KDataset',
        data_mode='topdown',
        visualizer=dict(type='PoseLocalVisualizer', vis_backends=[]),
        train_dataloader=loader,
        test_dataloader=loader)
    Config(config).dump(folder / 'tiny.py')
    weights = randomize(MODELS.build(model)).state_dict()
    torch.save(dict(state_dict=weights, meta=meta or {}), folder / 'tiny.pth')
    return str(folder / 'tiny.py'), str(folder / 'tiny.pth')


def write_detector(folder):
    """Writes our toy detector with random weights, which finds something anywhere; returns config and checkpoint."""
    from mmdet.apis import init_detector
    torch.manual_seed(0)
    model = init_detector(DETECTOR, None, palette='random', device='cpu')
    init_default_scope('mmpose')
    torch.nn.init.constant_(model.bbox_head.retina_cls.bias, -1.0)
    torch.nn.init.normal_(model.bbox_head.retina_cls.weight, std=0.3)
    meta = dict(dataset_meta=dict(classes=model.neck.keypoint_names))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'detector.pth')
    return DETECTOR, str(folder / 'detector.pth')


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
