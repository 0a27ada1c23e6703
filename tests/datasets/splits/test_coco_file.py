"""Annotation files are read once, in one order, and what is no annotation file is one clear error."""
import json

import pytest
from mmpose.registry import DATASETS

from clamp_mmpose.datasets.splits import is_usable, read_coco


def test_usable_is_what_mmpose_trains_on(train, read, tmp_path):
    """Oracle: MMPose's own dataset."""
    inside, corner = [10, 10, 50, 40], [0, 0, 5, 5]
    for changes in [
            dict(bbox=[-20, -20, 10, 10]), dict(bbox=[-20, -20, 30, 30]), dict(bbox=corner),
            dict(bbox=[99, 10, 20, 20]),
            dict(bbox=[98.5, 10, 20, 20]), dict(bbox=[10, 79, 5, 5]), dict(bbox=[10, 10, -5, 5]), dict(iscrowd=1),
            dict(num_keypoints=0), dict(keypoints=[0] * 51), dict(keypoints=[-1, -1, 2] * 17), dict(bbox=inside),
            dict(keypoints=[0, 0, 0] * 16 + [5, 5, 1]), dict(keypoints=[0, 0, 2] * 17)
    ]:
        train.add('cow', **changes)
    train.add('cow')
    del train.content['annotations'][-1]['num_keypoints']
    for field in ('bbox', 'keypoints'):
        train.add('cow')
        del train.content['annotations'][-1][field]
    file = read(train)
    path = train.write(tmp_path / 'all.json')
    dataset = DATASETS.build(dict(type='AP10KDataset', ann_file=str(path), data_prefix=dict(img=''), pipeline=[]))
    expected = {dataset.get_data_info(index)['id'] for index in range(len(dataset))}
    assert {annotation['id'] for annotation in file.usable()} == expected
    assert 0 < len(expected) < len(file.annotations)


def test_an_instance_without_a_labelled_keypoint_is_not_usable(train):
    """MMPose draws it where ``num_keypoints`` says otherwise, but has nothing to learn from it."""
    train.add('cow', keypoints=[5, 5, 0] * 17)
    assert not is_usable(train.content['annotations'][-1], train.content['images'][-1])


def test_entries_come_by_rising_id(train, read):
    train.content['images'].reverse()
    train.content['annotations'].reverse()
    file = read(train)
    assert list(file.images) == sorted(file.images) and list(file.annotations) == sorted(file.annotations)


def test_repeated_and_dangling_entries_are_counted_and_left_out(train, read):
    train.content['annotations'].append(dict(train.content['annotations'][0]))
    train.content['annotations'].append(dict(train.content['annotations'][0], id=777, image_id=888))
    file = read(train)
    assert len(file.annotations) == 36
    assert file.notes == {'repeated annotations': 1, 'annotations of images that are not listed': 1}


def test_annotations_whose_image_ids_are_of_another_kind_are_an_error(train, read):
    for annotation in train.content['annotations']:
        annotation['image_id'] = str(annotation['image_id'])
    with pytest.raises(ValueError, match="image_id is '1', images are 1, 2, 3"):
        read(train)


@pytest.mark.parametrize('content, message', [
    ('', 'is not a complete JSON file'),
    ('{"images": [', 'is not a complete JSON file'),
    ('\xff\xfe', 'is not a complete JSON file'),
    ('[1, 2]', 'is a list, not a dict of images'),
    ('{"images": []}', 'it has no list of annotations'),
    ('{"images": {}, "annotations": []}', 'it has no list of images'),
    ('{"images": [3]}', 'each of its images must be a dict with an id, not 3'),
    ('{"images": [{"id": null, "file_name": "a"}]}', 'must be a dict with an id'),
    ('{"images": [{"id": 1}]}', 'images with id 1 must have file_name'),
    ('{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}', 'id 1 stands for two different images'),
    ('{"images": [], "annotations": [{"id": 4}]}', 'annotations with id 4 must have image_id and category_id'),
    ('{"images": [], "annotations": []}', 'it has no list of categories'),
])
def test_what_is_no_annotation_file(tmp_path, content, message):
    path = tmp_path / 'annotations.json'
    path.write_bytes(content.encode('latin-1'))
    with pytest.raises(ValueError, match=message) as error:
        read_coco(path)
    assert 'annotations.json' in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('changes, message', [
    (dict(keypoints=None), 'keypoints of annotation 37 in .* must be a list of numbers: x, y, v'),
    (dict(keypoints=[1, 2]), 'keypoints of annotation 37'),
    (dict(keypoints=['1', 2, 2]), 'keypoints of annotation 37'),
    (dict(bbox=[1, 2, 3]), 'bbox of annotation 37 in .* must be a list of numbers: x, y, w, h'),
    (dict(bbox=dict(x=1)), 'bbox of annotation 37'),
])
def test_malformed_annotations_are_named(train, read, changes, message):
    train.add('cow', **changes)
    with pytest.raises(ValueError, match=message):
        read(train).usable()


def test_an_image_without_a_size(train, read):
    del train.content['images'][0]['width']
    with pytest.raises(ValueError, match=r'image 1 in .* must have a width and a height'):
        read(train).usable()


def test_a_missing_file_tells_what_is_there(train, tmp_path):
    train.write(tmp_path / 'ap10k-train-split1.json')
    with pytest.raises(FileNotFoundError, match=r'split2\.json is not there \(from --split 2\); .* holds '
                       r'ap10k-train-split1\.json'):
        read_coco(tmp_path / 'ap10k-train-split2.json', 'from --split 2')
    with pytest.raises(FileNotFoundError, match='there is no folder'):
        read_coco(tmp_path / 'nowhere' / 'a.json')


def test_a_byte_order_mark_does_not_hurt(train, tmp_path):
    path = tmp_path / 'annotations.json'
    path.write_bytes(b'\xef\xbb\xbf' + json.dumps(train.content).encode())
    assert len(read_coco(path).images) == 36
