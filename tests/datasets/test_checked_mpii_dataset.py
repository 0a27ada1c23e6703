"""MPII in the pixels of the image, and PCKh of it."""
import json

import numpy as np
import pytest
from mmpose.registry import DATASETS, METRICS
from mpii_release import Release

from clamp_mmpose.datasets.mpii import prepare_captions

RECORD = dict(joints_vis=[1] * 16, joints=[[100. + joint, 50. + 20 * joint] for joint in range(16)], scale=1.5,
              center=[300., 200.], image='000000001.jpg')


@pytest.fixture
def build(tmp_path):
    def build(records, type='CheckedMpiiDataset', **arguments):
        path = tmp_path / 'mpii.json'
        path.write_text(records if isinstance(records, str) else json.dumps(records))
        return DATASETS.build(dict(type=type, ann_file=str(path), **arguments))
    return build


@pytest.fixture
def prepared(tmp_path):
    path = Release().people(10, visible=dict.fromkeys(range(16), 0) | {3: 1}).write(tmp_path / 'mpii.mat')
    for name, content in prepare_captions([path]).contents.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def dataset(folder, part='val', **arguments):
    boxes = dict(headbox_file=str(folder / 'mpii_captions_gt_val.mat'), test_mode=True) if part == 'val' else {}
    return DATASETS.build(dict(type='CheckedMpiiDataset', ann_file=str(folder / f'mpii_captions_{part}.json'), **boxes,
                               **arguments))


def test_joints_move_by_the_pixel_that_mmpose_moves_the_box_by(build):
    ours, theirs = build([RECORD])[0], build([RECORD], type='MpiiDataset')[0]
    np.testing.assert_array_equal(ours['keypoints'], theirs['keypoints'] - 1)
    np.testing.assert_array_equal(ours['keypoints'][0], np.array(RECORD['joints']) - 1)
    for key in ('bbox', 'bbox_center', 'bbox_scale', 'keypoints_visible'):
        np.testing.assert_array_equal(ours[key], theirs[key])


def test_marks_are_the_visibility_where_asked_for(prepared):
    assert dataset(prepared)[0]['keypoints_visible'].tolist() == [[1] * 16]
    marked = [[int(joint in (3, 8, 9)) for joint in range(16)]]  # neck and head top have no mark
    for part in ('train', 'val'):
        assert dataset(prepared, part, use_marks=True)[0]['keypoints_visible'].tolist() == marked


@pytest.mark.parametrize('records, said', [
    ('[1', 'is not a complete JSON file'), ('[]', 'must be a list of records'), ({}, 'must be a list of records'),
    ([RECORD, {key: value for key, value in RECORD.items() if key != 'joints'}], r'no joints.*\(record 1\)'),
    ([dict(RECORD, joints_vis=[1])], r'joints_vis of 000000001\.jpg must be 16 numbers'),
    ([dict(RECORD, image='frame_1.jpg')], r"image='frame_1\.jpg' must be a number and a suffix"),
])
def test_records_that_do_not_fit_are_named(build, records, said):
    with pytest.raises(ValueError, match=said) as error:
        build(records)
    assert 'mpii.json' in str(error.value)


def test_marks_that_are_not_there_are_asked_of_the_command(build):
    with pytest.raises(ValueError, match=r'use_marks=True needs is_visible.*prepare-mpii-captions'):
        build([RECORD], use_marks=True)


@pytest.mark.parametrize('number, said', [(3, 'fewer'), (1, 'more')])
def test_head_boxes_of_another_file_are_refused(prepared, build, number, said):
    boxes = prepared / 'mpii_captions_gt_val.mat'  # of 2 people
    with pytest.raises(ValueError, match=f'has {said} head boxes than the {number} records'):
        build([RECORD] * number, headbox_file=str(boxes), test_mode=True)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.json'):
        DATASETS.build(dict(type='CheckedMpiiDataset', ann_file=str(tmp_path / 'none.json')))


def pckh(type, info, shift):
    metric = METRICS.build(dict(type=type, thr=0.1))
    instance = dict(keypoints=info['keypoints'], keypoints_visible=info['keypoints_visible'],
                    head_size=info['head_size'])
    metric.process([{}], [dict(gt_instances=instance, pred_instances=dict(keypoints=info['keypoints'] + shift))])
    return metric.evaluate(1)['PCK']


def test_pckh_has_its_limit_at_the_same_distance_in_every_direction(prepared):
    """A tenth of the head size, 0.6 of its diagonal of 50 pixels: three pixels."""
    info = dataset(prepared)[0]
    for direction in ([1, 0], [-1, 0], [0, 1], [0, -1]):
        assert pckh('ZeroBasedMpiiPCKAccuracy', info, 2.95 * np.array(direction)) == 100
        assert pckh('ZeroBasedMpiiPCKAccuracy', info, 3.05 * np.array(direction)) == 0
    assert pckh('MpiiPCKAccuracy', info, np.array([2.95, 0])) == 0  # what it is for
