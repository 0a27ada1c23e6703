import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from clamp_mmpose.tools.cli import main
from clamp_mmpose.tools.visualize.pictures import Pictures, find_boxes, find_pictures

META = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/ap10k.py'))
PIPELINE = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.0),
    dict(type='TopdownAffine', input_size=(64, 64)),
    dict(type='PackPoseInputs'),
]


@pytest.fixture
def folder(tmp_path):
    """Images of 80x40 pixels, some in a folder of their own, beside a text file."""
    for name in ('b.png', 'a.JPG', 'deep/c.jpg'):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((40, 80, 3), 90, np.uint8))
    (tmp_path / 'images' / 'notes.txt').write_text('no image')
    return tmp_path / 'images'


def write_boxes(path, boxes, **images):
    """``boxes``: (image id, box); ``images``: id -> file name."""
    annotations = [dict(id=number, image_id=image, bbox=box) for number, (image, box) in enumerate(boxes)]
    images = [dict(id=int(key[1:]), file_name=name) for key, name in images.items()]
    path.write_text(json.dumps(dict(images=images, annotations=annotations)))
    return str(path)


def test_folders_give_their_images_and_files_come_as_asked(folder):
    found = find_pictures([str(folder / 'deep' / 'c.jpg'), str(folder)])
    assert [path.name for path in found] == ['c.jpg', 'a.JPG', 'b.png']


def test_paths_without_images_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'--images .*none\.jpg'):
        find_pictures([str(tmp_path / 'none.jpg')])
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='empty: there is no image'):
        find_pictures([str(tmp_path / 'empty')])


def test_an_image_without_a_box_is_one_box(folder):
    sample = Pictures([(folder / 'b.png', None)], PIPELINE, META)[0]['data_samples']
    np.testing.assert_array_equal(sample.gt_instances.bboxes, [[0, 0, 80, 40]])
    assert sample.input_center.tolist() == [40, 20]
    assert 'keypoints' not in sample.gt_instances


def test_a_file_that_is_no_image_is_named(folder):
    with pytest.raises(ValueError, match=r'notes\.txt is not an image'):
        Pictures([(folder / 'notes.txt', None)], PIPELINE, META)


def test_boxes_belong_to_the_image_of_their_file_name(folder, tmp_path, capsys):
    pictures = find_pictures([str(folder)])
    file = write_boxes(tmp_path / 'boxes.json', [(7, [1, 2, 30, 20]), (8, [5, 5, 9, 9]), (7, [4, 4, 4, 4])],
                       i7='some/where/b.png', i8='c.jpg')
    found = find_boxes(file, pictures)
    assert [(path.name, box) for path, box in found] == [
        ('b.png', (1, 2, 30, 20)), ('b.png', (4, 4, 4, 4)), ('c.jpg', (5, 5, 9, 9))]
    assert '1 of 3 images have no box' in (error := capsys.readouterr().err) and 'a.JPG' in error
    sample = Pictures(found, PIPELINE, META)[0]['data_samples']
    np.testing.assert_array_equal(sample.gt_instances.bboxes, [[1, 2, 31, 22]])


def test_folders_tell_images_of_one_name_apart(folder, tmp_path):
    (folder / 'c.jpg').write_bytes((folder / 'deep' / 'c.jpg').read_bytes())
    file = write_boxes(tmp_path / 'boxes.json', [(1, [1, 1, 1, 1]), (2, [2, 2, 2, 2])],
                       i1='deep/c.jpg', i2='images/c.jpg')
    boxes = dict(find_boxes(file, [folder / 'c.jpg', folder / 'deep' / 'c.jpg']))
    assert boxes == {folder / 'c.jpg': (2, 2, 2, 2), folder / 'deep' / 'c.jpg': (1, 1, 1, 1)}
    file = write_boxes(tmp_path / 'boxes.json', [(1, [1, 1, 1, 1])], i1='x/c.jpg', i2='y/c.jpg')
    with pytest.raises(ValueError, match=r'2 images that .*c\.jpg may be: x/c\.jpg, y/c\.jpg'):
        find_boxes(file, [folder / 'c.jpg'])


@pytest.mark.parametrize('box', [[1, 2, 3], [1, 2, 0, 4], [1, 2, float('nan'), 4], None])
def test_a_box_that_is_none_is_named(box, folder, tmp_path):
    file = write_boxes(tmp_path / 'boxes.json', [(7, box)], i7='b.png')
    with pytest.raises(ValueError, match='of annotation 0 must be x, y, w, h'):
        find_boxes(file, [folder / 'b.png'])


def test_boxes_of_none_of_the_images_are_refused(folder, tmp_path):
    file = write_boxes(tmp_path / 'boxes.json', [(7, [1, 2, 3, 4])], i7='other.png')
    with pytest.raises(ValueError, match='no box for any of the 3 images'):
        find_boxes(file, find_pictures([str(folder)]))
    (tmp_path / 'found.json').write_text(json.dumps([dict(image_id=1, bbox=[1, 2, 3, 4], score=1)]))
    with pytest.raises(ValueError, match='give the COCO file with its images'):
        find_boxes(str(tmp_path / 'found.json'), [folder / 'b.png'])


def test_boxes_of_detectors_are_taken_too(files, folder, tmp_path, unpainted):
    images = write_boxes(tmp_path / 'images.json', [], i7='b.png')
    found = tmp_path / 'found.json'
    found.write_text(json.dumps([
        dict(image_id=7, bbox=[1, 2, 30, 20], score=0.9, category_id=1),
        dict(image_id=7, bbox=[5, 5, 9, 9], score=0.1, category_id=1)]))
    assert find_boxes(str(found), [folder / 'b.png'], images) == [(folder / 'b.png', (1, 2, 30, 20))]
    mega = tmp_path / 'mega.json'
    detections = [dict(category='1', conf=0.8, bbox=[0.25, 0.5, 0.5, 0.25])]
    mega.write_text(json.dumps(dict(images=[dict(file='b.png', detections=detections)])))
    assert find_boxes(str(mega), [folder / 'b.png']) == [(folder / 'b.png', (20, 20, 40, 10))]
    arguments = ['--out', str(tmp_path / 'out'), '--figure', 'poses', '--images', str(folder / 'b.png')]
    assert main(['visualize', *files(), *arguments, '--boxes', str(found), images]) == 0


def test_boxes_of_an_image_of_another_size_are_left_out(folder, tmp_path, capsys):
    content = json.loads(Path(write_boxes(tmp_path / 'boxes.json', [(7, [1, 2, 3, 4]), (8, [1, 2, 3, 4])],
                                          i7='b.png', i8='c.jpg')).read_text())
    content['images'][0].update(width=40, height=80)  # as a viewer that ignores EXIF has it
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    found = find_boxes(str(tmp_path / 'boxes.json'), [folder / 'b.png', folder / 'deep' / 'c.jpg'])
    assert [path.name for path, _ in found] == ['c.jpg']
    assert 'b.png (the image has 80 x 40 pixels, the file with its boxes says 40 x 80)' in capsys.readouterr().err


def test_all_images_are_drawn_and_have_no_ground_truth(files, folder, tmp_path, unpainted):
    out = tmp_path / 'out'
    figures = ['--figure', 'poses', 'score-maps', 'score-map-overlay']
    assert main(['visualize', *files(), '--out', str(out), '--images', str(folder), *figures]) == 0
    names = [f'{figure}_{number}.png' for figure in ('score_map_overlay', 'score_maps') for number in (1, 2, 3)]
    assert sorted(path.name for path in out.iterdir()) == ['poses.png', *names]


def test_num_limits_the_images(files, folder, tmp_path, capsys, unpainted):
    arguments = ['--out', str(tmp_path / 'out'), '--images', str(folder), '--num', '2', '--figure', 'score-maps']
    assert main(['visualize', *files(), *arguments]) == 0
    assert len(list((tmp_path / 'out').iterdir())) == 2
    assert main(['visualize', *files(), *arguments, '--num', '0']) == 2
    assert '--num 0' in capsys.readouterr().err


@pytest.mark.parametrize('options, error', [
    (['--boxes', 'boxes.json'], '--boxes is for --images'),
    (['--images', 'x.jpg', '--ann', 'y.json'], '--ann and --images exclude each other'),
    (['--images', 'x.jpg'], 'x.jpg: there is no such file'),
    (['--images', 'x.jpg', '--boxes', 'a', 'b', 'c'], '--boxes takes one or two files, not 3'),
])
def test_options_that_do_not_go_together(options, error, files, tmp_path, capsys):
    assert main(['visualize', *files(), '--out', str(tmp_path / 'out'), *options]) == 2
    assert error in capsys.readouterr().err


@pytest.mark.parametrize('figure', ['similarity', 'prompts'])
def test_what_is_measured_at_keypoints_needs_labels(figure, files, folder, tmp_path, capsys):
    arguments = ['--out', str(tmp_path / 'out'), '--images', str(folder), '--figure', figure]
    assert main(['visualize', *files(), *arguments]) == 2
    assert 'labelled keypoints' in capsys.readouterr().err
