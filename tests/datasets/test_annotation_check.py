"""Annotations that cannot be used are one error that names the file and what is wrong with it."""
import json

import pytest
from mmpose.registry import DATASETS

from clamp_mmpose.datasets.toy import make_toy_dataset


@pytest.fixture(scope='module')
def content(tmp_path_factory):
    folder = tmp_path_factory.mktemp('toy')
    make_toy_dataset(folder, train=1, val=1)
    return (folder / 'annotations/ap10k-val-split1.json').read_text()


@pytest.fixture
def load(content, tmp_path):

    def build(change, kind='CheckedAP10KDataset'):
        annotations = json.loads(content)
        changed = change(annotations)
        path = tmp_path / 'annotations.json'
        path.write_text(json.dumps(annotations if changed is None else changed))
        return DATASETS.build(dict(type=kind, ann_file=str(path), data_prefix=dict(img=''), pipeline=[]))

    return build


def each(**values):
    """Sets fields of every annotation; None removes one."""

    def change(content):
        for annotation in content['annotations']:
            for name, value in values.items():
                if value is None:
                    del annotation[name]
                else:
                    annotation[name] = value

    return change


def null_keypoints(content):
    content['annotations'][0]['keypoints'] = None


def test_usable_annotations_load(load):
    assert len(load(lambda content: None)) >= 1


@pytest.mark.parametrize('change, message', [
    (each(keypoints=None), r"gives no instance to use. Of its \d+ annotations: \d+ without 'keypoints'"),
    (each(bbox=None), r"\d+ without 'bbox'"),
    (each(iscrowd=1), r'\d+ of a crowd'),
    (each(keypoints=[0] * 51), r'\d+ without a labelled keypoint'),
    (each(bbox=[0, 0, 0, 0]), r'\d+ with an empty box'),
    (each(keypoints=[1, 1, 2] * 20), r'\[20\] keypoints, its metainfo names 17'),
    (each(keypoints=[1, 1, 2] * 17 + [1]), r'keypoints of annotation \d+ must be a list of 51 numbers'),
    (null_keypoints, r'keypoints of annotation \d+ must be a list of 51 numbers'),
    (each(bbox=[1, 2]), r'bbox of annotation \d+ must be a list of 4 numbers'),
    (lambda content: content['annotations'], 'it is a list, not a dict of images, annotations and categories'),
    (lambda content: dict(annotations=content['annotations']),
     r'Of its \d+ annotations: \d+ .*of an image that is not listed'),
    (lambda content: content.update(annotations=[]), r'Of its 0 annotations: it has none'),
])
def test_unusable_annotations_are_named(load, change, message):
    with pytest.raises(ValueError, match=rf'annotations\.json.*{message}'):
        load(change)


def test_a_truncated_file_is_named(content, tmp_path):
    path = tmp_path / 'half.json'
    path.write_text(content[:len(content) // 2])
    with pytest.raises(ValueError, match=r'half\.json.*is not a complete JSON file'):
        DATASETS.build(dict(type='CheckedAP10KDataset', ann_file=str(path), data_prefix=dict(img=''), pipeline=[]))


@pytest.mark.parametrize('kind, names', [('CheckedCocoDataset', 17), ('CheckedAnimalPoseDataset', 20)])
def test_other_datasets_are_checked_too(load, kind, names):
    with pytest.raises(ValueError, match=rf'{kind}.*\[5\] keypoints, its metainfo names {names}'):
        load(each(keypoints=[1, 1, 2] * 5), kind)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises((AssertionError, FileNotFoundError), match=r'nowhere\.json'):
        DATASETS.build(dict(type='CheckedAP10KDataset', ann_file=str(tmp_path / 'nowhere.json'), pipeline=[]))
