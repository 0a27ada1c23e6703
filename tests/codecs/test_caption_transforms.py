"""Captions through MMPose's own transforms: boxes, flips, the way back to the picture, and packing."""
import copy
import pickle

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import Compose
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import KEYPOINT_CODECS

import clamp_mmpose  # noqa: F401

NAMES = Config.fromfile('configs/_base_/caption_names/coco.py').caption_names
CODEC = dict(type='CaptionPose', input_size=(192, 256), names=NAMES)
METAINFO = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/coco.py'))


def sample(instances=1):
    """What a dataset gives: a person of 17 keypoints in a picture of 640x480, with its box."""
    random = np.random.default_rng(0)
    keypoints = random.uniform((200, 100), (300, 300), (instances, 17, 2)).astype(np.float32)
    keypoints_visible = np.ones((instances, 17), np.float32)
    keypoints_visible[:, [3, 10]] = 0
    return dict(img=np.zeros((480, 640, 3), np.uint8), img_shape=(480, 640), ori_shape=(480, 640), id=1, img_id=1,
                bbox=np.array([[190, 90, 310, 310]] * instances, np.float32), bbox_score=np.ones(instances, np.float32),
                keypoints=keypoints, keypoints_visible=keypoints_visible, flip_indices=METAINFO['flip_indices'],
                dataset_keypoint_weights=METAINFO['dataset_keypoint_weights'])


def run(results, *steps, codec=CODEC, **pack):
    return Compose([dict(type='GetBBoxCenterScale'), *steps, dict(type='TopdownAffine', input_size=codec['input_size']),
                    dict(type='GenerateTarget', encoder=codec), dict(type='PackPoseInputs', **pack)])(results)


def decode(packed, codec=CODEC):
    """Keypoints in the picture, as the estimators of MMPose map them back, and which there are."""
    data_sample = packed['data_samples']
    decoded = KEYPOINT_CODECS.build(codec).decode(data_sample.gt_instance_labels.caption)
    center, scale = np.array(data_sample.input_center), np.array(data_sample.input_scale)
    return decoded.keypoints / codec['input_size'] * scale + center - 0.5 * scale, decoded.valid


def test_the_caption_is_packed_with_its_weights():
    data_sample = run(sample())['data_samples']
    labels = data_sample.gt_instance_labels
    (caption, ) = labels.caption
    assert caption.startswith('nose:') and 'lear:' not in caption and caption.count(':') == 15
    assert labels.keypoint_weights.shape == (1, 17)
    assert labels.keypoint_weights[0].tolist() == sample()['keypoints_visible'][0].tolist()
    # To a worker and back, and to a device
    assert pickle.loads(pickle.dumps(data_sample)).cpu().gt_instance_labels.caption == (caption, )
    assert copy.deepcopy(labels)[0:1].caption == (caption, )


def test_a_caption_leads_back_to_the_keypoints_in_the_picture():
    results = sample()
    keypoints, valid = decode(run(copy.deepcopy(results)))
    assert valid.tolist() == [(results['keypoints_visible'][0] > 0).tolist()]
    # Half a pixel of the input is up to half the scale over the size in the picture.
    assert np.abs(keypoints - results['keypoints'])[valid].max() <= 0.5 * 220 * 1.25 / 256 + 1e-3


def test_a_flipped_picture_has_the_caption_of_the_mirrored_person():
    results = sample()
    packed = run(copy.deepcopy(results), dict(type='RandomFlip', prob=1.))
    keypoints, valid = decode(packed)
    mirrored = results['keypoints'][:, METAINFO['flip_indices']]
    mirrored[..., 0] = 639 - mirrored[..., 0]
    assert valid.tolist() == [(results['keypoints_visible'][0, METAINFO['flip_indices']] > 0).tolist()]
    # 3 and 10, left ear and right wrist, were not annotated.
    assert np.flatnonzero(~valid[0]).tolist() == [4, 9]
    assert np.abs(keypoints - mirrored)[valid].max() <= 0.5 * 220 * 1.25 / 256 + 1e-3


def test_what_a_crop_cuts_off_is_at_its_border_or_left_out():
    results = sample()
    results['bbox'] = np.array([[190, 90, 310, 200]], np.float32)
    # The box is made as tall as 120 / (192 / 256) * 1.25, around 145: down to 245.
    cut = (results['keypoints_visible'][0] > 0) & (results['keypoints'][0, :, 1] > 246)
    assert cut.any()
    keypoints, valid = decode(run(copy.deepcopy(results)))
    assert valid[0, cut].all() and (np.abs(keypoints[0, cut, 1] - 244.5) < 0.5).all()
    codec = dict(CODEC, outside='missing')
    keypoints, valid = decode(run(copy.deepcopy(results), codec=codec), codec)
    assert valid.any() and not valid[0, cut].any()
    assert np.abs(keypoints - results['keypoints'])[valid].max() <= 1


def test_a_person_with_nothing_annotated_has_an_empty_caption():
    results = sample()
    results['keypoints_visible'][:] = 0
    labels = run(results)['data_samples'].gt_instance_labels
    assert labels.caption == ('', ) and not labels.keypoint_weights.any()


def test_keypoints_of_another_dataset_are_converted_first():
    # Of COCO's keypoints AP-10K has eyes and nose, in this order. The converter adds weights to the visibility.
    names = Config.fromfile('configs/_base_/caption_names/ap10k.py').caption_names
    converter = dict(type='KeypointConverter', num_keypoints=17, mapping=[(1, 0), (2, 1), (0, 2)])
    codec = dict(CODEC, names=names)
    results = sample()
    packed = run(copy.deepcopy(results), converter, codec=codec)
    keypoints, valid = decode(packed, codec)
    assert np.flatnonzero(valid[0]).tolist() == [0, 1, 2]
    assert np.abs(keypoints[0, :3] - results['keypoints'][0, [1, 2, 0]]).max() <= 1


def test_weights_of_the_dataset_can_be_multiplied():
    results = sample()
    results['dataset_keypoint_weights'] = np.arange(17, dtype=np.float32)
    steps = Compose([dict(type='GetBBoxCenterScale'), dict(type='TopdownAffine', input_size=(192, 256)),
                     dict(type='GenerateTarget', encoder=CODEC, use_dataset_keypoint_weights=True),
                     dict(type='PackPoseInputs')])
    weights = steps(results)['data_samples'].gt_instance_labels.keypoint_weights[0].tolist()
    assert weights == [0 if index in (3, 10) else index for index in range(17)]


def test_a_pipeline_of_another_input_size_is_an_error():
    results = dict(sample(), bbox_center=np.array([[250., 200.]]), bbox_scale=np.array([[150., 200.]]))
    steps = Compose([dict(type='TopdownAffine', input_size=(256, 256)), dict(type='GenerateTarget', encoder=CODEC)])
    with pytest.raises(ValueError, match=r'input_size=\(256, 256\) of the pipeline differs from .*\(192, 256\)'):
        steps(results)
