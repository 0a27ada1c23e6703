"""Who is captioned from MPII's own annotation file."""
import json

import numpy as np
import pytest
from mpii_release import Release, point, pose, rectangle
from scipy.io import loadmat, savemat

from clamp_mmpose.datasets.mpii import prepare_captions
from clamp_mmpose.datasets.mpii.release_file import read_release

WITHOUT = [joint for joint in range(16) if joint != 6]


@pytest.fixture
def read(tmp_path):
    return lambda release, **other: read_release(release.write(tmp_path / 'mpii.mat', **other))


def kept(result):
    return [person.image for person in result[0] if person.is_complete]


def test_the_generated_file_is_built_like_the_real_one(tmp_path):
    """As the real file is read by the code that people publish for it."""
    path = Release().add([rectangle(pose())], video=3).write(tmp_path / 'mpii.mat')
    release = loadmat(path)['RELEASE'][0, 0]
    assert release.dtype.names == ('annolist', 'img_train', 'version', 'single_person', 'act', 'video_list')
    entry = release['annolist'][0, 0]
    assert entry['image'][0, 0]['name'][0] == '000000001.jpg' and entry['vididx'][0, 0] == 3
    person = entry['annorect'][0, 0]
    assert person['x1'][0, 0] == 10 and person['objpos'][0, 0]['x'][0, 0] == 300
    points = person['annopoints'][0, 0]['point'][0]
    assert len(points) == 16 and points[8]['id'][0, 0] == 8 and points[8]['is_visible'].size == 0
    assert release['single_person'][0, 0][0, 0] == 1


def test_one_entry_in_single_person_counts_whoever_else_is_in_the_image(read):
    crowd = [rectangle(), rectangle(pose()), rectangle(pose(5))]
    result = read(Release().add(crowd, single=(2, )).add(crowd, single=(2, 3)).add(crowd, single=()))
    assert kept(result) == ['000000001.jpg']
    assert result[0][0].joints[0].tolist() == [100, 50]  # of the second rectangle, not the third
    assert result[1] == {'images': 3, 'with exactly one entry in single_person': 1,
                         'whose person has annotated joints': 1}


@pytest.mark.parametrize('rectangles', [
    None, [rectangle()], [rectangle([])], [rectangle(head=None, objpos=None, scale=None) | dict(annopoints=dict(a=1))],
], ids=['no annorect', 'a test image', 'empty annopoints', 'annopoints without point'])
def test_images_without_annotated_joints_are_passed_over(read, rectangles):
    people, counts, remarks = read(Release().add(rectangles or [rectangle(head=None)], train=0).people(1))
    assert [person.image for person in people] == ['000000002.jpg'] and not remarks
    assert counts['with exactly one entry in single_person'] == 2


def test_an_image_without_rectangles_that_single_person_points_into_is_told(read):
    people, _, remarks = read(Release().add(None).add([rectangle(pose())], single=(9, )).people(1))
    assert [person.image for person in people] == ['000000003.jpg']
    assert remarks == ['2 images whose single_person is no rectangle of theirs left out']


@pytest.mark.parametrize('mark, expected', [(1, 1), (0, 0), ('1', 1), ('0', 0), (None, 1), (..., 1), ('', 1)])
def test_is_visible_is_a_number_or_a_text_or_empty_which_means_visible(read, mark, expected):
    points = [point(10, 20, joint, mark) for joint in range(16)]
    ((person, ), *_) = read(Release().add([rectangle(points)]))
    assert person.marked.tolist() == [expected] * 16 and person.is_complete
    assert person.is_all_visible == bool(expected)


def test_marks_of_every_kind_in_one_person(read):
    marks = dict(enumerate([1, 0, '1', '0', None, 1, 1, 1, None, None, 1, 1, 1, 1, 1, 1]))
    ((person, ), *_) = read(Release().add([rectangle(pose(visible=marks))]))
    assert person.marked.tolist() == [1, 0, 1, 0] + [1] * 12


def test_joints_are_found_by_id_and_keep_their_decimals(read):
    ((person, ), *_) = read(Release().add([rectangle(pose()[::-1])]))
    np.testing.assert_allclose(person.joints[:, 0], [100 + 10 * j + 0.0201 * (j in (8, 9)) for j in range(16)])
    np.testing.assert_allclose(person.joints[9], [190.0201, 230.8183], rtol=0, atol=1e-12)


def test_a_person_lacks_a_joint(read):
    extra = [point(1, 1, 16), point(float('nan'), 5, 6)]  # no joint of MPII, and no place
    release = Release().add([rectangle(pose(joints=WITHOUT))]).add([rectangle(pose(joints=WITHOUT) + extra)])
    people, counts, _ = read(release)
    assert [person.annotated.tolist() for person in people] == [[j != 6 for j in range(16)]] * 2
    assert counts['whose person has annotated joints'] == 2


@pytest.mark.parametrize('others', [[], [rectangle()]], ids=['one struct', 'an array'])
def test_a_file_with_one_image_is_read_too(read, others):
    assert len(read(Release().add([rectangle(pose()), *others]))[0]) == 1


def test_videos_have_the_name_of_the_list_or_their_number(read):
    release = Release(['aaa', 'bbb', 'aaa'])
    for video in (1, 2, 3, 9, None):
        release.add([rectangle(pose())], video=video)
    assert [person.video for person in read(release)[0]] == ['aaa', 'bbb', 'aaa', 'video 9', None]


def test_a_missing_place_and_head_come_from_the_joints(read):
    release = Release().add([rectangle(pose(), head=None, objpos=None, scale=None)])
    ((person, ), *_) = read(release)
    (center, scale), head = person.place(), person.head()
    assert center == [175, 200] and scale == pytest.approx(300 * 1.25 / 200)
    neck, top = person.joints[8:10]
    assert np.linalg.norm(head[1] - head[0]) == pytest.approx(np.linalg.norm(top - neck) / 0.8)
    np.testing.assert_allclose(head.mean(0), (neck + top) / 2)


# of the images that come with MMPose: MPII's own boxes have corners in whole pixels
@pytest.mark.parametrize('neck, top', [
    ((982.7591, 235.9694), (962.2409, 80.0306)), ((329.9945, 162.1051), (347.0055, 105.8949)),
    ((1026.998, 281.6248), (997.002, 181.3752)), ((838.9079, 308.9326), (816.0921, 203.0674)),
    ((642.6337, 217.5659), (591.3663, 117.4341))])
def test_the_diagonal_of_a_head_box_follows_from_neck_and_head_top(read, neck, top):
    points = pose()
    points[8].update(x=neck[0], y=neck[1])
    points[9].update(x=top[0], y=top[1])
    ((person, ), *_) = read(Release().add([rectangle(points, head=None)]))
    squared = ((person.head()[1] - person.head()[0])**2).sum()
    assert squared == pytest.approx(round(squared), abs=0.05)  # of two whole sides


@pytest.mark.parametrize('content, said', [
    (b'', 'cannot be read as a .mat file'), (b'MATLAB 5.0 MAT-file' + bytes(200), 'cannot be read as a .mat file'),
    (b'\x89HDF\r\n\x1a\n' + bytes(200), 'cannot be read as a .mat file')])
def test_a_file_that_is_no_mat_file(tmp_path, content, said):
    path = tmp_path / 'mpii.mat'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        prepare_captions([path])


def test_a_truncated_file(tmp_path):
    path = Release().people(30).write(tmp_path / 'mpii.mat')
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match=r'cannot be read as a \.mat file'):
        prepare_captions([path])


def test_another_mat_file_names_what_it_has(tmp_path):
    savemat(tmp_path / 'gt.mat', dict(headboxes_src=np.zeros((2, 2, 3))))
    with pytest.raises(ValueError, match='no RELEASE with annolist and single_person, but headboxes_src'):
        prepare_captions([tmp_path / 'gt.mat'])


def test_lists_of_other_lengths_are_refused(tmp_path):
    path = Release().people(3).write(tmp_path / 'mpii.mat', single_person=np.full((2, 1), 1, dtype=object))
    with pytest.raises(ValueError, match='annolist has 3 images, single_person 2'):
        prepare_captions([path])


def test_records_have_the_layout_of_mmpose(tmp_path):
    path = Release().people(5, visible=0).write(tmp_path / 'mpii.mat')
    (record, ) = json.loads(prepare_captions([path]).contents['mpii_captions_val.json'])
    assert list(record) == ['joints_vis', 'joints', 'image', 'scale', 'center', 'is_visible', 'video']
    number = int(record['image'][:-4]) - 1
    assert record['joints_vis'] == [1] * 16  # annotated, though hidden
    assert record['is_visible'] == [int(joint in (8, 9)) for joint in range(16)]
    assert record['joints'][0] == [100 + number, 50] and record['joints'][8] == [180.0201 + number, 210.8183]
    assert (record['center'], record['scale']) == ([300, 200], 3.5)
    assert record['video'] == ('aaa', 'bbb', 'ccc', 'ddd', 'video 5')[number]
