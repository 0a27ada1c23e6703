"""A few made people in COCO's and MPII's layout, in pictures of noise, and pipelines over them."""
import json

import numpy as np
from mmpose.registry import DATASETS
from PIL import Image

K = 17
SIZE = (48, 64)  # width and height of the network's input
CODEC = dict(type='MSRAHeatmap', input_size=SIZE, heatmap_size=(12, 16), sigma=1)
LOAD, BOX = dict(type='LoadImage'), dict(type='GetBBoxCenterScale')
FLIP = dict(type='RandomFlip', prob=1.0)
MOVE = dict(type='RandomBBoxTransform')
CROP = dict(type='TopdownAffine', input_size=SIZE)
TARGET = dict(type='GenerateTarget', encoder=CODEC)
PRESENCE, PACK = dict(type='GeneratePresence'), dict(type='PackPresenceInputs')
HALF_BODY = dict(type='RandomHalfBody', min_total_keypoints=2, min_upper_keypoints=1, min_lower_keypoints=1, prob=1.0)
AUGMENTED = [LOAD, PRESENCE, BOX, dict(type='RandomFlip', direction='horizontal'), MOVE, CROP, PACK]


def with_targets(located):
    return [LOAD, dict(PRESENCE, located=located), BOX, dict(type='RandomFlip', direction='horizontal'), MOVE, CROP,
            TARGET, PACK]


def make_people(folder, number=6, seed=0, noise=None):
    """Writes ``people.json`` in COCO's format; ``noise`` seeds other coordinates for the same v."""
    folder.mkdir(parents=True, exist_ok=True)
    random, other = np.random.default_rng(seed), np.random.default_rng(noise)
    images, annotations = [], []
    for index in range(number):
        width, height = 90 + 5 * index, 80
        name = f'{index}.png'
        Image.fromarray(random.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(folder / name)
        visible = random.integers(0, 3, K)
        visible[index % K] = 2
        places = random.uniform(15, 70, (K, 2))
        if noise is not None:
            places = other.uniform(1, 79, (K, 2))
        keypoints = np.concatenate([places * (visible > 0)[:, None], visible[:, None]], axis=1)
        images.append(dict(id=index + 1, file_name=name, width=width, height=height))
        annotations.append(dict(
            id=100 + index, image_id=index + 1, category_id=1, bbox=[10, 8, 60, 66], area=2000.0, iscrowd=0,
            num_keypoints=int((visible > 0).sum()), keypoints=keypoints.round(2).ravel().tolist()))
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='person')])
    (folder / 'people.json').write_text(json.dumps(content))
    return content


def open_people(folder, pipeline, **kwargs):
    return DATASETS.build(dict(
        type='CocoDataset', ann_file='people.json', data_root=str(folder), pipeline=pipeline, **kwargs))


def read(dataset, seed=3):
    """All samples, with the same augmentation each time."""
    samples = []
    for index in range(len(dataset)):
        np.random.seed(seed + index)
        samples.append(dataset.prepare_data(index))
    return samples


def presence_of(sample):
    return sample['data_samples'].gt_instance_labels.presence.numpy()


def equal(first, second):
    """Whether two values are the same to the last bit, through dicts, tensors and data elements."""
    if hasattr(first, 'all_items'):
        first, second = dict(first.all_items()), dict(second.all_items())
    if isinstance(first, dict):
        return isinstance(second, dict) and set(first) == set(second) and all(
            equal(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(equal, first, second))
    if hasattr(first, 'detach'):
        first, second = first.numpy(), second.numpy()
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()
    return first == second
