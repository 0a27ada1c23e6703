"""People with tags and no coordinates."""
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmpose.registry import DATASETS
from PIL import Image
from presence_people import (
    AUGMENTED,
    BOX,
    CROP,
    HALF_BODY,
    LOAD,
    PACK,
    PRESENCE,
    TARGET,
    presence_of,
    read,
    with_targets,
)

from clamp_mmpose.datasets.presence import read_tag_table

NAMES = ['nose', 'left_eye', 'right_eye', 'tail tip']
COCO = dict(from_file='configs/_base_/datasets/coco.py')


@pytest.fixture
def table(tmp_path):
    """Writes a table beside a picture of 60 x 40 pixels and one of 30 x 50."""
    for name, size in (('a.png', (60, 40)), ('b.png', (30, 50))):
        Image.fromarray(np.full((*size[::-1], 3), 99, np.uint8)).save(tmp_path / name)

    def write(text, encoding='utf-8'):
        (tmp_path / 'tags.csv').write_text(text, encoding=encoding)
        return tmp_path / 'tags.csv'

    return write


def open_table(path, pipeline=(), **kwargs):
    return DATASETS.build(dict(
        type='PresenceTagDataset', ann_file=path.name, data_root=str(path.parent), metainfo=COCO,
        pipeline=list(pipeline), **kwargs))


@pytest.mark.parametrize('text', [
    'image,box,tags\na.png,1 2 30 20,nose;left_eye;tail tip\nb.png,,\n',
    'image,box,tags\na.png,"1,2,30,20","nose, Left Eye, tail-tip"\nb.png,,""\n',
    'tags,Image,BOX,comment\nnose|left eye|TAIL TIP,a.png,[1 2 30 20],good\n,b.png,,\n',
    'image;box;tags\r\na.png;1 2 30 20;"nose;left_eye;tail_tip"\r\nb.png;;\r\n',
    'image\tx\ty\tw\th\ttags\na.png\t1\t2\t30\t20\tnose left_eye tail_tip\nb.png\t\t\t\t\t\n',
    'image,x,y,w,h,tags\na.png,1,2,30,20,nose left-eye left_eye tail_tip\n\nb.png,,,,,\n',
    'image, box, tags\na.png, 1 2 30 20, nose ; left_eye ; tail tip ;\nb.png, , \n',
])
def test_the_ways_to_write_a_table(table, text):
    for encoding in ('utf-8', 'utf-8-sig'):
        first, second = read_tag_table(table(text, encoding), NAMES)
        assert (first.image, first.box, first.present) == ('a.png', (1, 2, 30, 20), (1, 1, 0, 1))
        assert (second.image, second.box, second.present) == ('b.png', None, (0, 0, 0, 0))


def test_a_picture_may_be_the_person(table):
    (row, other) = read_tag_table(table('image,tags\na.png,nose\nb.png,right_eye\n'), NAMES)
    assert row.box is other.box is None


@pytest.mark.parametrize('text, told', [
    ('', 'no column image, tags; its header is empty'),
    ('image,tags\n', 'a header and no rows'),
    ('image,label\na.png,nose\n', 'no column tags; its header is image, label'),
    ('image,x,y,tags\na.png,1,2,nose\n', 'no column w, h'),
    ('image,box,x,y,w,h,tags\na.png,,,,,,nose\n', 'both a column box and x, y, w, h'),
    ('image,tags,Tags\na.png,nose,nose\n', "two columns 'Tags'"),
    ('image,tags\na.png,nose left_eyee\n', r"line 2: tag 'left_eyee' is no keypoint \(did you mean 'left_eye'\?\)"),
    ('image,tags\na.png,nose\nb.png,wing\n', "line 3: tag 'wing' is no keypoint. The keypoints are nose, left_eye"),
    ('image,tags\na.png,nose,left_eye\n', 'line 2: more fields than the header has'),
    ('image,box,tags\na.png,nose\n', 'line 2: fewer fields than the header has'),
    ('image,tags\n,nose\n', 'line 2: no image'),
    ('image,box,tags\na.png,1 2 3,nose\n', "line 2: box '1 2 3' must be four numbers"),
    ('image,box,tags\na.png,1 2 3 four,nose\n', "line 2: box '1 2 3 four' must be four numbers"),
    ('image,box,tags\na.png,1 2 nan 4,nose\n', "line 2: box '1 2 nan 4' must be four numbers"),
    ('image,x,y,w,h,tags\na.png,1,2,,4,nose\n', 'must be four numbers'),
    ('image,box,tags\na.png,1 2 0 4,nose\n', "line 2: box '1 2 0 4' has no extent"),
    ('image,box,tags\na.png,1 2 30 -4,nose\n', 'has no extent'),
    ('image,tags\na.png,nose\nb.png,\na.png,left_eye\n', 'line 4: the same image and box as line 2'),
    ('image,box,tags\na.png,1 2 3 4,\na.png,1 2 3 4.0,\n', 'line 3: the same image and box as line 2'),
])
def test_what_is_wrong_with_a_table_is_told(table, text, told):
    with pytest.raises(ValueError, match=told):
        read_tag_table(table(text), NAMES)


def test_the_first_problems_of_many_are_told(table):
    with pytest.raises(ValueError, match=r'line 2: .*; line 6: .*; and 15 more. The keypoints are'):
        read_tag_table(table('image,tags\n' + 'a.png,wing\n' * 20), NAMES)


def test_a_table_that_is_not_there_or_no_text_is_told(table, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere.csv is not there'):
        read_tag_table(tmp_path / 'nowhere.csv', NAMES)
    (tmp_path / 'tags.csv').write_bytes(b'image,tags\n\xff\xfe\x00')
    with pytest.raises(ValueError, match='is not a text in UTF-8'):
        read_tag_table(tmp_path / 'tags.csv', NAMES)


@pytest.mark.parametrize('row, told', [
    ('c.png,,nose', r'line 2: .*c.png is not there'), ('tags.csv,,nose', 'line 2: .*tags.csv is not an image'),
    ('a.png,60 3 10 10,nose', 'line 2: box 60 3 10 10 lies outside of the picture, which is 60 x 40'),
    ('a.png,-20 3 20 10,nose', 'lies outside'),
])
def test_pictures_that_do_not_fit_are_told(table, row, told):
    with pytest.raises(ValueError, match=told):
        open_table(table(f'image,box,tags\n{row}\n'))


def test_boxes_are_cut_to_the_picture_and_default_to_it(table):
    dataset = open_table(table('image,box,tags\na.png,-5 10 100 10,nose\na.png,,nose\nb.png,,nose\n'))
    boxes = [dataset[index]['bbox'].tolist() for index in range(3)]
    assert boxes == [[[0, 10, 59, 20]], [[0, 0, 60, 40]], [[0, 0, 30, 50]]]
    assert [dataset[index]['img_id'] for index in range(3)] == [0, 0, 1]


def test_a_turned_photo_is_measured_as_it_is_read(table, tmp_path):
    image = Image.new('RGB', (60, 40))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / 'turned.jpg', exif=exif)
    (sample, ) = read(open_table(table('image,tags\nturned.jpg,nose\n'), [LOAD]))
    assert sample['img'].shape[:2] == (60, 40)
    assert sample['bbox'].tolist() == [[0, 0, 40, 60]]


@pytest.mark.parametrize('pipeline', [AUGMENTED, with_targets(0), with_targets(1),
                                      [LOAD, BOX, CROP, TARGET, dict(PRESENCE, located=1), PACK]])
def test_tags_become_presence_and_weigh_nothing_else(table, pipeline):
    path = table('image,box,tags\na.png,5 5 30 30,nose left_ear right_ankle\nb.png,,\n')
    pipeline = [dict(step, prob=0.0) if step['type'] == 'RandomFlip' else step for step in pipeline]
    first, second = read(open_table(path, pipeline))
    assert np.flatnonzero(presence_of(first)).tolist() == [0, 3, 16] and not presence_of(second).any()
    if TARGET in pipeline:
        for sample in (first, second):
            assert not sample['data_samples'].gt_instance_labels.keypoint_weights.any()
            assert not sample['data_samples'].gt_fields.heatmaps.any()


def test_a_flip_swaps_tags(table):
    path = table('image,tags\na.png,nose left_ear right_ankle\n')
    pipeline = [LOAD, PRESENCE, BOX, dict(type='RandomFlip', prob=1.0), CROP, PACK]
    assert np.flatnonzero(presence_of(read(open_table(path, pipeline))[0])).tolist() == [0, 4, 15]


def test_targets_of_tags_alone_weigh_nothing(table):
    """Even where somebody forgets GeneratePresence."""
    (sample, ) = read(open_table(table('image,tags\na.png,nose\n'), [LOAD, BOX, HALF_BODY, CROP, TARGET, PACK]))
    assert not sample['data_samples'].gt_instance_labels.keypoint_weights.any()


@pytest.mark.parametrize('skeleton, tags, number', [
    ('mpii', 'head_top;upper_neck', 16), ('crowdpose', 'top_head;neck', 14), ('ap10k', 'L_Eye;Root of tail', 17)])
def test_any_skeleton_may_name_the_tags(table, skeleton, tags, number):
    path = table(f'image,tags\na.png,{tags}\n')
    (sample, ) = read(open_table(path, [LOAD, PRESENCE, BOX, CROP, PACK]) if skeleton == 'coco' else DATASETS.build(
        dict(type='PresenceTagDataset', ann_file=str(path), data_prefix=dict(img=str(path.parent)),
             metainfo=dict(from_file=f'configs/_base_/datasets/{skeleton}.py'),
             pipeline=[LOAD, PRESENCE, BOX, CROP, PACK])))
    assert presence_of(sample).shape == (1, number) and presence_of(sample).sum() == 2


@pytest.mark.parametrize('arguments, told', [
    (dict(metainfo=None), 'metainfo=None'), (dict(test_mode=True), 'for training'),
    (dict(data_mode='bottomup'), "data_mode='bottomup'")])
def test_arguments_that_make_no_sense_are_told(table, arguments, told):
    path = table('image,tags\na.png,nose\n')
    with pytest.raises(ValueError, match=told):
        DATASETS.build(dict(type='PresenceTagDataset', ann_file=str(path), metainfo=COCO) | arguments)


def test_a_loader_mixes_tagged_and_annotated_people(table, folder):
    path = table('image,tags\na.png,nose left_ear\nb.png,nose\n')
    tagged = dict(type='PresenceTagDataset', ann_file=str(path), data_prefix=dict(img=str(path.parent)), metainfo=COCO,
                  pipeline=with_targets(1))
    annotated = dict(type='CocoDataset', ann_file='people.json', data_root=str(folder), metainfo=COCO,
                     pipeline=with_targets(1))
    loader = Runner.build_dataloader(dict(
        batch_size=8, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(type='ConcatDataset', datasets=[tagged, annotated], ignore_keys=['CLASSES'])))
    (batch, ) = loader
    labels = [sample.gt_instance_labels for sample in batch['data_samples']]
    assert torch.cat([label.presence for label in labels]).sum(1).min() == 1
    assert sum(not label.keypoint_weights.any() for label in labels) == 2
    assert len(pseudo_collate(batch['inputs'])) == 8
