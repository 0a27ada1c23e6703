"""Drawn people: presence labels that differ, and files that MMPose's COCO and MPII parts read and score."""
import json
from collections import Counter

import numpy as np
import pytest
from mmpose.registry import DATASETS, METRICS

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.datasets.toy.canvas import Canvas
from clamp_mmpose.datasets.toy.figure import Figure, visible_box
from clamp_mmpose.datasets.toy.geometry import View
from clamp_mmpose.datasets.toy.keypoint_formats import COCO_KEYPOINTS, MPII_KEYPOINTS
from clamp_mmpose.datasets.toy.person_drawing import draw_person, sample_outfit
from clamp_mmpose.datasets.toy.person_pose import POSTURES, sample_person_pose

PIPELINE = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale'), dict(type='TopdownAffine', input_size=(128, 128)),
            dict(type='PackPoseInputs')]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp('people')
    make_toy_dataset(out, kind='people', train=44, val=12)
    return out


def load(data, name):
    return json.loads((data / 'annotations' / name).read_text())


def keypoints(data, split='train'):
    """(N, 17, 3)"""
    annotations = load(data, f'person_keypoints_{split}.json')['annotations']
    return np.array([annotation['keypoints'] for annotation in annotations]).reshape(-1, 17, 3)


def test_presence_differs_between_people(data):
    present = keypoints(data)[..., 2] > 0
    assert (present.mean(axis=0) > .25).all() and (present.mean(axis=0) < .97).all()
    assert .02 < present.all(axis=1).mean() < .5
    assert len({tuple(row) for row in present}) > len(present) / 3


def test_joints_are_missing_behind_obstacles_too(data):
    """A joint of somebody who stands alone and whole in the picture can only be missing behind something."""
    content = load(data, 'person_keypoints_train.json')
    images = {image['id']: image for image in content['images']}
    alone = Counter(annotation['image_id'] for annotation in content['annotations'])
    missing = 0
    for annotation, points in zip(content['annotations'], keypoints(data)):
        image, (x, y, w, h) = images[annotation['image_id']], annotation['bbox']
        inside = x > 0 and y > 0 and x + w < image['width'] and y + h < image['height']
        if inside and alone[image['id']] == 1:
            missing += (points[5:, 2] == 0).any()
    assert missing >= 3


def test_left_eye_is_on_the_right_of_a_face(data):
    points = keypoints(data)
    left, right = COCO_KEYPOINTS.index('left_eye'), COCO_KEYPOINTS.index('right_eye')
    seen = (points[:, [left, right], 2] == 2).all(axis=1)
    assert seen.sum() >= 8
    assert (points[seen, left, 0] >= points[seen, right, 0]).all()


def test_flags_tell_hidden_from_unlabelled():
    """Behind something, a joint keeps its label only next to one that is seen."""
    canvas = Canvas(60, 60)
    body, cover = canvas.new_part(), canvas.new_part()
    canvas.polygon([[20, 5], [30, 5], [30, 55], [20, 55]], (200, 0, 0), body)
    canvas.polygon([[10, 25], [40, 25], [40, 55], [10, 55]], (0, 200, 0), cover)
    points = np.array([[25, 10], [25, 30], [25, 45], [25, 70], [25, 12]], float)
    figure = Figure(points, np.array([False, False, False, False, True]), [{body}] * 5, range(body, body + 1))
    assert figure.visibility(canvas, ((1, 2), (2, 3), (3, 4))).tolist() == [2, 1, 0, 0, 0]
    np.testing.assert_allclose(visible_box(canvas, figure.parts), (20, 5, 11, 20), atol=1)


def test_annotations_are_consistent(data):
    content = load(data, 'person_keypoints_train.json')
    images = {image['id']: image for image in content['images']}
    for annotation, points in zip(content['annotations'], keypoints(data)):
        image = images[annotation['image_id']]
        x, y, w, h = annotation['bbox']
        assert x >= 0 and y >= 0 and x + w <= image['width'] and y + h <= image['height']
        assert 0 < annotation['area'] <= w * h
        assert annotation['segmentation'] and all(len(polygon) >= 6 for polygon in annotation['segmentation'])
        assert annotation['num_keypoints'] == np.count_nonzero(points[:, 2])
        assert not points[points[:, 2] == 0].any()


def test_mpii_counts_pixels_from_one(data):
    """The same people, in the same order, in both files."""
    records, points = load(data, 'mpii_train.json'), keypoints(data)
    assert len(records) == len(points)
    shared = [name for name in MPII_KEYPOINTS if name in COCO_KEYPOINTS]
    ours, theirs = ([names.index(name) for name in shared] for names in (COCO_KEYPOINTS, MPII_KEYPOINTS))
    coco, mpii = points[:, ours], np.array([record['joints'] for record in records])[:, theirs]
    both = (coco[..., 2] > 0) & (np.array([record['joints_vis'] for record in records])[:, theirs] > 0)
    assert both.mean() > .5
    np.testing.assert_array_equal(mpii[both], coco[both][:, :2] + 1)


def test_absent_mpii_joints_are_marked_as_in_the_released_file(data):
    for record in load(data, 'mpii_train.json'):
        assert set(record) == {'joints_vis', 'joints', 'image', 'scale', 'center'}
        joints, present = np.array(record['joints']), np.array(record['joints_vis'])
        assert (joints[present == 0] == -1).all() and (joints[present == 1] >= 1).all()


def test_mpii_scale_is_the_standing_height(data):
    """A person who stands upright and whole in the picture is about 200 pixels times the scale high."""
    heights = []
    for record in load(data, 'mpii_train.json'):
        joints, present = np.array(record['joints']), np.array(record['joints_vis'])
        if present.all():
            heights.append((joints[:, 1].max() - joints[:, 1].min()) / (200 * record['scale']))
    assert len(heights) >= 5
    assert .85 < np.quantile(heights, .6) < 1.1


def test_mmpose_scores_mpii_by_head_boxes(data):
    dataset = DATASETS.build(dict(
        type='MpiiDataset', data_root=str(data), ann_file='annotations/mpii_val.json', data_prefix=dict(img='data/'),
        headbox_file=str(data / 'annotations/mpii_gt_val.mat'), test_mode=True, pipeline=PIPELINE))

    def pck(shift):
        """In head sizes; predictions count from 0."""
        metric = METRICS.build(dict(type='MpiiPCKAccuracy'))
        metric.dataset_meta = dataset.metainfo
        for sample in dataset:
            truth = sample['data_samples'].gt_instances
            moved = truth.keypoints - 1 + shift * truth.head_size[..., None] * [1, 0]
            predicted = dict(keypoints=moved, keypoint_scores=np.ones((1, 16)))
            metric.process(None, [dict(sample['data_samples'].to_dict(), pred_instances=predicted)])
        return metric.evaluate(len(dataset))['PCK']

    assert pck(0) == pytest.approx(100)
    assert pck(.45) == pytest.approx(100)
    assert pck(.55) == 0


def test_head_size_is_that_of_the_drawn_head(data):
    dataset = DATASETS.build(dict(
        type='MpiiDataset', data_root=str(data), ann_file='annotations/mpii_val.json', data_prefix=dict(img='data/'),
        headbox_file=str(data / 'annotations/mpii_gt_val.mat'), test_mode=True, pipeline=[]))
    neck, top = MPII_KEYPOINTS.index('upper_neck'), MPII_KEYPOINTS.index('head_top')
    for info in map(dataset.get_data_info, range(len(dataset))):
        if info['keypoints_visible'][0, [neck, top]].all():
            length = np.linalg.norm(info['keypoints'][0, neck] - info['keypoints'][0, top])
            assert .5 < info['head_size'].item() / length < 2


def test_mmpose_scores_coco(data):
    dataset = DATASETS.build(dict(
        type='CocoDataset', data_root=str(data), ann_file='annotations/person_keypoints_val.json', test_mode=True,
        data_prefix=dict(img='data/'), pipeline=PIPELINE))
    metric = METRICS.build(dict(type='CocoMetric', ann_file=str(data / 'annotations/person_keypoints_val.json')))
    metric.dataset_meta = dataset.metainfo
    for sample in dataset:
        truth = sample['data_samples'].gt_instances
        predicted = dict(keypoints=truth.keypoints, keypoint_scores=np.ones((1, 17)), bbox_scores=np.ones(1))
        metric.process(None, [dict(sample['data_samples'].to_dict(), pred_instances=predicted)])
    assert metric.evaluate(len(dataset))['coco/AP'] == pytest.approx(1)


@pytest.mark.parametrize('yaw, seen, away', [
    (90, {'nose', 'left_eye', 'right_eye'}, set()),
    (-90, set(), {'nose', 'left_eye', 'right_eye'}),
    (0, {'right_eye', 'right_ear'}, {'left_eye', 'left_ear'}),
])
def test_face_shows_from_its_own_side(yaw, seen, away):
    """Seen from the front, a person's left is on the right of the picture; from behind it is on the left."""
    rng = np.random.default_rng(0)
    pose = sample_person_pose(rng, POSTURES[0])
    pose.head_yaw = pose.head_pitch = 0
    canvas = Canvas(150, 220)
    person = draw_person(canvas, sample_outfit(rng), pose, View(yaw=yaw, facing=1, scale=90, origin=(75, 200)))
    assert away <= person.away and not seen & person.away
    for name in seen:
        assert canvas.owner_at(person.points[name]) in person.owners[name]
    offset = person.points['left_shoulder'][0] - person.points['right_shoulder'][0]
    assert offset * np.sin(np.radians(yaw)) > 20 or yaw == 0
