import json

import numpy as np
import pytest

from clamp_mmpose.apis import BoxFile, Input
from clamp_mmpose.apis.frames import Frame


def frame(path, index=None, width=80, height=60):
    return Frame(Input(path, path), image=np.zeros((height, width, 3), np.uint8), index=index)


def find(source, *frames):
    source.prepare([item.input for item in frames])
    return source.find(frames)


@pytest.fixture
def coco(tmp_path):
    content = dict(
        images=[
            dict(id=7, file_name='deer/1.jpg', width=80, height=60),
            dict(id=9, file_name='fox\\1.jpg'),
            dict(id=11, file_name='2.jpg')
        ],
        categories=[dict(id=3, name='deer'), dict(id=5, name='fox')],
        annotations=[
            dict(image_id=7, bbox=[10, 20, 30, 10], category_id=3),
            dict(image_id=7, bbox=[60, 20, 30, 50], category_id=5),
            dict(image_id=7, bbox=[0, 0, 9, 9], category_id=3, iscrowd=1),
            dict(image_id=7, bbox=[5, 5, 0, 9], category_id=3),
            dict(image_id=9, bbox=[1, 2, 3, 4], category_id=5),
        ])
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    return tmp_path / 'coco.json'


def test_annotations_give_boxes_cut_at_the_border(coco):
    boxes, = find(BoxFile(coco), frame('/data/deer/1.jpg'))
    np.testing.assert_array_equal(boxes.xyxy, [[10, 20, 40, 30], [60, 20, 79, 59]])
    assert boxes.category_ids.tolist() == [3, 5] and boxes.scores.tolist() == [1, 1] and boxes.image_id == 7
    assert BoxFile(coco).categories == {3: 'deer', 5: 'fox'}
    assert BoxFile(coco).next_image_id == 12


def test_a_path_belongs_to_the_file_name_that_it_ends_with(coco):
    deer, fox, none = find(BoxFile(coco), frame('deer/1.jpg'), frame('/x/fox/1.jpg'), frame('/x/y/2.jpg'))
    assert (deer.image_id, fox.image_id, none.image_id) == (7, 9, 11)
    assert len(none.xyxy) == 0 and none.error is None
    # Part of a name is another name, and a folder of the annotation counts.
    source = BoxFile(coco)
    reasons = source.prepare([Input(path, path) for path in ('2.jpg', 'x/12.jpg', 'wolf/1.jpg')])
    assert sorted(reasons) == ['wolf/1.jpg', 'x/12.jpg']


def test_inputs_of_which_none_is_known_are_refused_with_an_example(coco):
    with pytest.raises(ValueError, match=r"names none of the inputs: file names there are like 'deer/1\.jpg'"):
        BoxFile(coco).prepare([Input('3.jpg', '3.jpg')])


def test_two_inputs_for_one_entry_are_refused(coco):
    with pytest.raises(ValueError, match=r"'2\.jpg' could be a/2\.jpg as well as b/2\.jpg"):
        BoxFile(coco).prepare([Input('a/2.jpg', 'a/2.jpg'), Input('b/2.jpg', 'b/2.jpg')])


def test_an_image_of_another_size_than_annotated_is_an_error(coco):
    boxes, = find(BoxFile(coco), frame('deer/1.jpg', width=60, height=80))
    assert boxes.error == 'the image has 60 x 80 pixels, the file with its boxes says 80 x 60'


def test_names_choose_categories(coco):
    boxes, = find(BoxFile(coco, names=['fox']), frame('deer/1.jpg'))
    assert boxes.category_ids.tolist() == [5]
    with pytest.raises(ValueError, match=r'names wolf: .* knows deer, fox'):
        BoxFile(coco, names=['fox', 'wolf'])


def test_detections_take_their_file_names_from_a_second_file(coco, tmp_path):
    rows = [dict(image_id=7, bbox=[10, 20, 30, 10], score=score, category_id=3) for score in (0.2, 0.9, 0.5)]
    rows[2]['bbox'] = [70, 20, 30, 10]
    (tmp_path / 'found.json').write_text(json.dumps(rows))
    with pytest.raises(ValueError, match='give the COCO file with its images'):
        BoxFile(tmp_path / 'found.json')
    boxes, = find(BoxFile(tmp_path / 'found.json', coco), frame('deer/1.jpg'))
    # As the detector gave them: neither cut at the border nor sorted.
    np.testing.assert_array_equal(boxes.xyxy, [[10, 20, 40, 30], [70, 20, 100, 30]])
    assert boxes.scores == pytest.approx([0.9, 0.5])
    boxes, = find(BoxFile(tmp_path / 'found.json', coco, bbox_thr=0), frame('deer/1.jpg'))
    assert len(boxes.xyxy) == 3
    boxes, = find(BoxFile(tmp_path / 'found.json', coco, bbox_thr=0, nms_thr=0.5), frame('deer/1.jpg'))
    assert boxes.scores == pytest.approx([0.9, 0.5])


def test_megadetectors_boxes_are_fractions_of_the_image(tmp_path):
    content = dict(
        images=[
            dict(file='cam1/1.jpg', detections=[
                dict(category='1', conf=0.9, bbox=[0.25, 0.5, 0.5, 0.25]),
                dict(category='1', conf=0.1, bbox=[0, 0, 0.5, 0.5]),
                dict(category='3', conf=0.9, bbox=[0, 0, 1, 1])
            ]),
            dict(file='cam1/2.jpg', detections=None, failure='image access'),
            dict(file='cam1/3.jpg', detections=[]),
            dict(file='cam1/4.mp4', detections=[dict(category='1', conf=0.9, bbox=[0, 0, 0.5, 1], frame_number=8)]),
        ],
        detection_categories={'1': 'animal', '2': 'person', '3': 'vehicle'})
    (tmp_path / 'md.json').write_text(json.dumps(content))
    frames = [*(frame(f'cam1/{number}.jpg') for number in (1, 2, 3)), frame('cam1/4.mp4', 7), frame('cam1/4.mp4', 8)]
    first, failed, empty, before, there = find(BoxFile(tmp_path / 'md.json'), *frames)
    np.testing.assert_allclose(first.xyxy, [[20, 30, 60, 45]])
    assert failed.error == 'MegaDetector: image access'
    assert empty.error is None and len(empty.xyxy) == 0
    assert before.error is None and len(before.xyxy) == 0
    np.testing.assert_allclose(there.xyxy, [[0, 0, 40, 60]])
    vehicles, *_ = find(BoxFile(tmp_path / 'md.json', names=['vehicle']), *frames)
    np.testing.assert_allclose(vehicles.xyxy, [[0, 0, 80, 60]])


def test_frames_of_a_video_have_entries_of_their_own(tmp_path):
    images = [dict(id=index, file_name='film.avi', frame=index) for index in (0, 5)]
    rows = [dict(image_id=5, bbox=[1, 2, 3, 4], score=0.8)]
    (tmp_path / 'boxes.json').write_text(json.dumps(dict(images=images, annotations=rows)))
    first, fifth, other = find(BoxFile(tmp_path / 'boxes.json'), *(frame('film.avi', index) for index in (0, 5, 6)))
    assert (first.image_id, len(first.xyxy)) == (0, 0)
    assert (fifth.image_id, len(fifth.xyxy)) == (5, 1)
    assert (other.image_id, len(other.xyxy), other.error) == (None, 0, None)


def test_a_video_is_not_the_image_of_its_name(coco):
    boxes, = find(BoxFile(coco), frame('deer/1.jpg', index=0))
    assert 'is of an image' in boxes.error


@pytest.mark.parametrize('content, reason', [
    ('{', 'is not JSON'),
    ('{"pictures": []}', 'is not a COCO or MegaDetector file'),
    ('{"images": [{"id": 1}], "annotations": []}', 'is not a COCO or MegaDetector file'),
    ('{"images": [], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]}', 'is not a COCO or MegaDetector file'),
    ('{"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "a"}], "annotations": []}', "'a' is there twice"),
    ('{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"id": 5, "image_id": 1, "bbox": [1, 2, 3]}]}',
     r'bbox=\[1, 2, 3\] of annotation 5 must be x, y, w, h'),
    ('3', 'is not a COCO or MegaDetector file'),
])
def test_other_files_are_refused(content, reason, tmp_path):
    (tmp_path / 'odd.json').write_text(content)
    with pytest.raises(ValueError, match=reason):
        BoxFile(tmp_path / 'odd.json')
