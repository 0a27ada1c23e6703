"""Presence labels of MMPose's datasets, through any pipeline."""
import json

import numpy as np
import pytest
import torch
from mmpose.registry import DATASETS, TRANSFORMS
from presence_people import (
    AUGMENTED,
    BOX,
    CODEC,
    CROP,
    FLIP,
    LOAD,
    PACK,
    PRESENCE,
    TARGET,
    K,
    open_people,
    presence_of,
    read,
    with_targets,
)

PLAIN_PACK = dict(type='PackPoseInputs')
MIRROR = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]  # of COCO


def annotated(folder):
    """(N, K): v > 0, as the file has it."""
    people = json.loads((folder / 'people.json').read_text())['annotations']
    return np.array([person['keypoints'][2::3] for person in people]) > 0


def test_a_keypoint_is_present_if_it_is_annotated_hidden_ones_too(folder):
    people = json.loads((folder / 'people.json').read_text())['annotations']
    assert {0, 1, 2} <= {v for person in people for v in person['keypoints'][2::3]}
    for sample, expected in zip(read(open_people(folder, [LOAD, PRESENCE, BOX, CROP, PACK])), annotated(folder)):
        labels = sample['data_samples'].gt_instance_labels
        assert labels.presence.dtype == torch.float32 and labels.presence.shape == (1, K)
        np.testing.assert_array_equal(labels.presence[0].numpy(), expected)


ORDERS = {
    'first': [LOAD, PRESENCE, BOX, FLIP, CROP, PACK],
    'before the flip': [LOAD, BOX, PRESENCE, FLIP, CROP, PACK],
    'after the flip': [LOAD, BOX, FLIP, PRESENCE, CROP, PACK],
    'flip after the crop': [LOAD, BOX, CROP, PRESENCE, FLIP, PACK],
    'first, with targets': [LOAD, PRESENCE, BOX, FLIP, CROP, TARGET, PACK],
    'before targets': [LOAD, BOX, FLIP, CROP, PRESENCE, TARGET, PACK],
    'after targets': [LOAD, BOX, FLIP, CROP, TARGET, PRESENCE, PACK],
    'last': [LOAD, BOX, FLIP, CROP, TARGET, PRESENCE, PLAIN_PACK],
    'last, without targets': [LOAD, BOX, FLIP, CROP, PRESENCE, PLAIN_PACK],
}


@pytest.mark.parametrize('located', [0, 1, 0.5])
@pytest.mark.parametrize('order', ORDERS)
def test_a_flip_swaps_left_and_right_wherever_it_stands(folder, order, located):
    pipeline = [dict(step, located=located) if step is PRESENCE else step for step in ORDERS[order]]
    for sample, expected in zip(read(open_people(folder, pipeline)), annotated(folder)):
        np.testing.assert_array_equal(presence_of(sample)[0], expected[MIRROR])
        assert (expected != expected[MIRROR]).any()


@pytest.mark.parametrize('order', [order for order in ORDERS if 'targets' in order or order == 'last'])
def test_targets_of_located_people_are_as_without_presence(folder, order):
    if order == 'last, without targets':
        return
    pipeline = [dict(step, located=1) if step is PRESENCE else step for step in ORDERS[order]]
    plain = [step for step in pipeline if step['type'] not in ('GeneratePresence', PACK['type'])]
    plain = [step for step in plain if step != PLAIN_PACK] + [PLAIN_PACK]
    for sample, other in zip(read(open_people(folder, pipeline)), read(open_people(folder, plain))):
        sample, other = sample['data_samples'], other['data_samples']
        assert torch.equal(sample.gt_fields.heatmaps, other.gt_fields.heatmaps) and sample.gt_fields.heatmaps.any()
        weights = sample.gt_instance_labels.keypoint_weights
        assert torch.equal(weights, other.gt_instance_labels.keypoint_weights) and weights.any()
        np.testing.assert_array_equal(sample.gt_instances.keypoints, other.gt_instances.keypoints)


@pytest.mark.parametrize('order', ORDERS)
def test_without_locations_targets_weigh_nothing_and_nothing_holds_a_coordinate(folder, order):
    for sample in read(open_people(folder, ORDERS[order])):
        sample = sample['data_samples']
        assert sample.gt_instance_labels.keypoint_weights.shape == (1, K)
        assert not sample.gt_instance_labels.keypoint_weights.any()
        assert ('gt_fields' in sample) == (TARGET in ORDERS[order])
        if 'gt_fields' in sample:
            assert not sample.gt_fields.heatmaps.any()
        visible = sample.gt_instances.keypoints_visible
        assert not (visible if visible.ndim == 2 else visible[..., 0]).any()
        assert 'keypoints' not in sample.raw_ann_info and sample.raw_ann_info['bbox']


@pytest.mark.parametrize('codec', [
    dict(type='UDPHeatmap', input_size=(48, 64), heatmap_size=(12, 16), sigma=1),
    dict(type='SimCCLabel', input_size=(48, 64), sigma=4.9, simcc_split_ratio=2.0),
    dict(type='RegressionLabel', input_size=(48, 64)),
    dict(type='IntegralRegressionLabel', input_size=(48, 64), heatmap_size=(12, 16), sigma=1),
    dict(type='MegviiHeatmap', input_size=(48, 64), heatmap_size=(12, 16), kernel_size=3),
], ids=lambda codec: codec['type'])
def test_every_codec_packs_the_presence_beside_its_own_labels(folder, codec):
    target = dict(type='GenerateTarget', encoder=codec)
    expected = annotated(folder)
    for generator, packs in ((dict(PRESENCE, located=0), False), (dict(PRESENCE, located=1), True)):
        for pipeline in ([LOAD, generator, BOX, CROP, target, PACK], [LOAD, BOX, CROP, target, generator, PACK]):
            for sample, present in zip(read(open_people(folder, pipeline)), expected):
                labels = sample['data_samples'].gt_instance_labels
                np.testing.assert_array_equal(labels.presence[0].numpy(), present)
                assert bool(labels.keypoint_weights.any()) == packs


def test_several_encoders_are_refused(folder):
    target = dict(type='GenerateTarget', encoder=[CODEC, dict(CODEC, sigma=2)], multilevel=True)
    with pytest.raises(ValueError, match='several encoders'):
        read(open_people(folder, [LOAD, PRESENCE, BOX, CROP, target, PACK]))


def test_the_labels_of_a_codec_are_left_alone(folder):
    from mmpose.codecs import MSRAHeatmap
    before = dict(MSRAHeatmap.label_mapping_table)
    read(open_people(folder, ORDERS['last']))
    assert MSRAHeatmap.label_mapping_table == before
    from mmpose.datasets.transforms import PackPoseInputs
    assert 'presence' not in PackPoseInputs.label_mapping_table


def test_mpii_counts_its_own_marks(tmp_path, folder):
    marks = np.arange(32).reshape(2, 16) % 3 > 0
    joints = [[30.0 + place, 20.0 + place] for place in range(16)]
    records = [dict(image='015601864.png', center=[45.0, 40.0], scale=0.3, joints=joints,
                    joints_vis=row.astype(int).tolist()) for row in marks]
    (tmp_path / 'mpii.json').write_text(json.dumps(records))
    (tmp_path / '015601864.png').write_bytes((folder / '0.png').read_bytes())
    for kind in ('MpiiDataset', 'CheckedMpiiDataset'):
        dataset = DATASETS.build(dict(type=kind, ann_file='mpii.json', data_root=str(tmp_path),
                                      pipeline=[LOAD, dict(PRESENCE, located=0.5), BOX, FLIP, CROP, TARGET, PACK]))
        for sample, row in zip(read(dataset), marks):
            np.testing.assert_array_equal(presence_of(sample)[0], row[dataset.metainfo['flip_indices']])


def test_samples_of_one_batch_stack(folder):
    samples = read(open_people(folder, with_targets(0.5)))
    weights = [bool(sample['data_samples'].gt_instance_labels.keypoint_weights.any()) for sample in samples]
    assert set(weights) == {True, False}
    assert torch.stack([sample['data_samples'].gt_fields.heatmaps for sample in samples]).shape == (6, K, 16, 12)
    assert torch.cat([sample['data_samples'].gt_instance_labels.presence for sample in samples]).shape == (6, K)


def test_packing_without_presence_is_that_of_mmpose(folder):
    ours, theirs = (read(open_people(folder, [LOAD, BOX, CROP, TARGET, pack])) for pack in (PACK, PLAIN_PACK))
    assert [set(sample['data_samples'].gt_instance_labels.keys()) for sample in ours] == [
        set(sample['data_samples'].gt_instance_labels.keys()) for sample in theirs]


def test_recomputed_presence_is_what_the_crop_shows(folder):
    shift = dict(type='RandomBBoxTransform', scale_factor=(0.3, 0.5), rotate_prob=0.0, scale_prob=1.0)
    leaky = dict(PRESENCE, recompute_after_crop=True, accept_location_leak=True)
    pipeline = [LOAD, BOX, shift, CROP, leaky, PACK]
    plain = [LOAD, BOX, shift, CROP, dict(type='PackPoseInputs', pack_transformed=True)]
    counts = []
    for sample, other in zip(read(open_people(folder, pipeline)), read(open_people(folder, plain))):
        truth = other['data_samples'].gt_instances
        expected = [v > 0 and -0.5 <= x < 47.5 and -0.5 <= y < 63.5
                    for (x, y), v in zip(truth.transformed_keypoints[0], truth.keypoints_visible[0])]
        np.testing.assert_array_equal(presence_of(sample)[0], expected)
        counts.append(sum(expected) < (truth.keypoints_visible > 0).sum())
    assert any(counts)


@pytest.mark.parametrize('arguments, told', [
    (dict(located=-0.1), 'located=-0.1 must be the share'), (dict(located=5), 'located=5 must be the share'),
    (dict(located=True), 'located=True'), (dict(located=None), 'located=None'), (dict(seed=0.5), 'seed=0.5'),
    (dict(recompute_after_crop=True), 'accept_location_leak=True'),
    (dict(recompute_after_crop=True, located=0.25), 'accept_location_leak=True'),
])
def test_arguments_that_make_no_sense_are_told(arguments, told):
    with pytest.raises(ValueError, match=told):
        TRANSFORMS.build(dict(PRESENCE, **arguments))


def test_several_people_in_one_sample_are_refused(folder):
    dataset = open_people(folder, [LOAD, PRESENCE, PACK], data_mode='bottomup')
    results = dataset.get_data_info(0)
    results['keypoints_visible'] = np.ones((2, K))
    with pytest.raises(ValueError, match="data_mode='topdown'"):
        TRANSFORMS.build(PRESENCE)(results)


def test_keypoints_that_a_dataset_does_not_annotate_are_not_called_absent(folder):
    convert = dict(type='KeypointConverter', num_keypoints=18, mapping=[(index, index) for index in range(17)])
    with pytest.raises(ValueError, match=r'keypoints \[17\] are not annotated'):
        read(open_people(folder, [LOAD, convert, PRESENCE, BOX, CROP, PACK]))


def test_an_augmented_pipeline_gives_the_same_again(folder):
    first, second = (read(open_people(folder, AUGMENTED)) for _ in range(2))
    assert all(torch.equal(one['inputs'], other['inputs']) for one, other in zip(first, second))
