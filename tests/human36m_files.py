"""Human3.6M as MMPose's preprocessing leaves it, made by MMPose's own converter."""
import importlib.util
import json
from pathlib import Path

import cv2
import mmpose
import numpy as np

CONVERTER = Path(mmpose.__file__).parent / '.mim/tools/dataset_converters/h36m_to_coco.py'
CAMERAS = {(subject, '54138969'): dict(R=np.eye(3), T=np.zeros((3, 1)), f=np.ones((2, 1)), c=np.zeros((2, 1)),
                                       k=np.zeros((3, 1)), p=np.zeros((2, 1)), w=1000, h=1002)
           for subject in ('S9', 'S11')}


def write_human36m(root, *, frames_per_video=2, side=200, seed=0):
    """Pictures of two videos and ``h36m_coco_test.json``; returns the keypoints, (N, 17, 2)."""
    spec = importlib.util.spec_from_file_location('h36m_to_coco', CONVERTER)
    converter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(converter)
    rng = np.random.default_rng(seed)
    names, images, annotations, poses = [], [], [], []
    for subject in ('S9', 'S11'):
        video = f'{subject}_Walking_1.54138969'
        (root / 'images' / subject / video).mkdir(parents=True)
        names += [f'{subject}/{video}/{video}_{1 + 5 * frame:06d}.jpg' for frame in range(frames_per_video)]
    for index, name in enumerate(names):
        cv2.imwrite(str(root / 'images' / name), rng.integers(0, 255, (side, side, 3), dtype=np.uint8))
        pose = rng.uniform(side * 0.2, side * 0.8, (17, 2))
        low, high = pose.min(0), pose.max(0)
        labels = np.concatenate([pose, np.ones((17, 1))], axis=1)
        # What the converter runs in its twelve processes, with preprocess_h36m.py's centre and scale.
        images.append(converter._get_img_info((index, name, str(root / 'images'))))
        annotations.append(converter._get_ann((index, labels, np.ones((17, 4)), (low + high) / 2,
                                               1.2 * (high - low).max() / 200, name, CAMERAS)))
        poses.append(pose)
    (root / 'h36m_coco_test.json').write_text(json.dumps(dict(
        images=images, annotations=annotations, categories=[dict(id=1, name='person', supercategory='person')])))
    return np.array(poses)
