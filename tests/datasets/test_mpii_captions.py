"""`prepare-mpii-captions`: filter, division and files."""
import hashlib
import json
import random

import numpy as np
import pytest
from mmpose.registry import DATASETS
from mpii_release import Release, pose, rectangle
from scipy.io import loadmat

from clamp_mmpose.datasets.mpii import prepare_captions
from clamp_mmpose.datasets.mpii.caption_split import split_people
from clamp_mmpose.datasets.mpii.person import MpiiPerson
from clamp_mmpose.datasets.splits import draw
from clamp_mmpose.tools.cli import main

RECORD = dict(joints_vis=[1] * 16, joints=[[100. + joint, 50. + 20 * joint] for joint in range(16)], scale=1.5,
              center=[300., 200.])


def records(number, **changes):
    return [dict(RECORD, image=f'{index:09d}.jpg', **changes) for index in range(1, number + 1)]


@pytest.fixture
def write(tmp_path):
    """Writes MMPose's json."""
    def write(content, name='mpii_train.json'):
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path
    return write


@pytest.fixture
def release(tmp_path):
    """40 complete people in 10 videos of 4 frames, and 5 of each kind that is left out."""
    release = Release([f'video{number}' for number in range(12)]).people(40, images_per_video=4)
    for _ in range(5):
        release.add([rectangle(pose(joints=range(15)))], video=12).add([rectangle(pose())], single=(), video=12)
    return release.write(tmp_path / 'mpii.mat')


@pytest.fixture
def run(capsys):
    def run(*argv):
        status = main(['prepare-mpii-captions', *map(str, argv)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err
    return run


def images(content):
    return [record['image'] for record in json.loads(content)]


def people(groups):
    """groups: the number of people of each video."""
    return [MpiiPerson(f'{video}-{index}.jpg', np.ones((16, 2)), None, None, None, video=f'v{video}')
            for video, number in enumerate(groups) for index in range(number)]


def test_the_files_hold_the_papers_people(release):
    files = prepare_captions([release])
    assert list(files.contents) == ['mpii_captions_train.json', 'mpii_captions_val.json', 'mpii_captions_gt_val.mat',
                                    'mpii_captions_manifest.json']
    train, val = (images(files.contents[f'mpii_captions_{part}.json']) for part in ('train', 'val'))
    assert sorted(train + val) == [f'{index:09d}.jpg' for index in range(1, 41)]
    assert (len(train), len(val)) == (32, 8)
    assert train == sorted(train) and val == sorted(val)
    assert files.counts == {
        'images': 50, 'with exactly one entry in single_person': 45, 'whose person has annotated joints': 45,
        'with all sixteen joints annotated': 40, 'with all sixteen joints marked visible': 40, 'train': 32, 'val': 8}


@pytest.mark.parametrize('number, val', [(1463, 293), (1475, 295), (10, 2), (11, 3), (2, 1)])
def test_a_fifth_rounded_up_is_for_validation(number, val):
    parts = split_people(people([1] * number))
    assert [len(part) for part in parts] == [number - val, val]


@pytest.mark.parametrize('by', ['image', 'video'])
def test_the_division_depends_on_names_and_seed_alone(by):
    everyone = people([3, 1, 2, 5, 4, 1, 1, 3])
    shuffled = random.Random(0).sample(everyone, len(everyone))
    first, second, other = (split_people(list_, seed=seed, by=by)
                            for list_, seed in ((everyone, 0), (shuffled, 0), (everyone, 1)))
    assert [p.image for p in first[1]] == [p.image for p in second[1]]
    assert [p.image for p in first[0]] == [p.image for p in second[0]]
    assert [p.image for p in first[1]] != [p.image for p in other[1]]


@pytest.mark.parametrize('seed', range(20))
@pytest.mark.parametrize('groups', [[3, 1, 2, 5, 4, 1, 1, 3], [50, 1, 1], [1, 1], [7, 9]])
def test_a_video_is_in_one_part_and_the_share_as_near_as_whole_videos_allow(groups, seed):
    train, val = split_people(people(groups), seed=seed, by='video')
    assert train and val and len(train) + len(val) == sum(groups)
    assert not {p.video for p in train} & {p.video for p in val}
    # Whichever number of videos of the queue comes nearest.
    queue = draw([f'v{video}' for video in range(len(groups))], len(groups), seed=seed, protocol='mpii-captions/video')
    sizes = [sum(groups[int(video[1:])] for video in queue[:number]) for number in range(1, len(groups))]
    assert {p.video for p in val} == set(queue[:len({p.video for p in val})])
    target = -(-sum(groups) * 20 // 100)
    assert abs(len(val) - target) == min(abs(size - target) for size in sizes)


def test_an_image_listed_twice_stays_in_one_part(tmp_path):
    release = Release()
    for index in range(30):
        release.add([rectangle(pose(index))], name=f'{index // 2:09d}.jpg')
    files = prepare_captions([release.write(tmp_path / 'mpii.mat')])
    assert len(files.train) + len(files.val) == 30
    assert not {p.image for p in files.train} & {p.image for p in files.val}


@pytest.mark.parametrize('options, name', [
    ({}, 'mpii_captions'), (dict(by='video'), 'mpii_captions-video'), (dict(seed=3), 'mpii_captions-seed3'),
    (dict(by='video', require_visible=True, seed=1), 'mpii_captions-video-visible-seed1')])
def test_files_of_other_options_have_other_names(release, options, name):
    assert set(prepare_captions([release], **options).contents) == {
        f'{name}_{part}' for part in ('train.json', 'val.json', 'gt_val.mat', 'manifest.json')}


def test_by_video_no_video_is_in_both_and_by_image_the_command_counts_those(release):
    by_video = prepare_captions([release], by='video')
    assert not {p.video for p in by_video.train} & {p.video for p in by_video.val}
    assert (len(by_video.train), len(by_video.val)) == (32, 8)
    by_image = prepare_captions([release])
    shared = sum(p.video in {q.video for q in by_image.train} for p in by_image.val)
    assert shared > 0 and any(remark.startswith(f'{shared} of 8 validation images are frames of videos')
                              for remark in by_image.remarks)


def test_images_without_a_video_are_left_out_of_a_division_by_video(tmp_path):
    release = Release().people(4)
    release.add([rectangle(pose())], video=None)
    files = prepare_captions([release.write(tmp_path / 'mpii.mat')], by='video')
    assert len(files.train) + len(files.val) == 4
    assert '1 people left out, whose image has no video' in files.remarks


def test_require_visible_leaves_out_people_with_a_hidden_joint(tmp_path):
    path = Release().people(6).people(5, visible=0).write(tmp_path / 'mpii.mat')
    files = prepare_captions([path], require_visible=True)
    assert len(files.train) + len(files.val) == files.counts['with all sixteen joints marked visible'] == 6
    everyone = prepare_captions([path])
    assert len(everyone.train) + len(everyone.val) == 11


def test_a_json_counts_images_with_one_record(write):
    content = records(10) + [dict(RECORD, image='000000099.jpg', scale=scale) for scale in (1., 2.)]
    content.append(dict(RECORD, image='000000098.jpg', joints_vis=[0] + [1] * 15))
    content.append(dict(RECORD, image='000000097.jpg', joints_vis=[0] * 16))
    files = prepare_captions([write(content)])
    assert files.counts == {'images': 13, 'with exactly one record': 12, 'whose person has annotated joints': 11,
                            'with all sixteen joints annotated': 10, 'train': 8, 'val': 2}
    assert any('does not say who is alone' in remark for remark in files.remarks)


def test_files_that_overlap_are_one_and_their_order_does_not_matter(write):
    train, val = records(10)[:8], records(10)[6:]
    paths = [write(train), write(val, 'mpii_val.json')]
    files, turned = prepare_captions(paths), prepare_captions(paths[::-1])
    assert files.counts['with exactly one record'] == 10 and '2 records stand in the files twice' in files.remarks
    for name in ('mpii_captions_train.json', 'mpii_captions_val.json', 'mpii_captions_gt_val.mat'):
        assert files.contents[name] == turned.contents[name]


@pytest.mark.parametrize('content, said', [
    ('[', 'is not a complete JSON file'), ('{}', "is a dict, not a list of records as MMPose's"),
    ('[1]', 'a record is a int, not a dict'), ('[]', 'has nobody to use: 0 images'),
    (json.dumps([dict(image='1.jpg', center=[1, 2], scale=1)]), 'no joints and joints_vis; the test images have no'),
    (json.dumps([dict(RECORD, image='1.jpg', joints=[[1, 2]])]), 'joints of 1.jpg must be 16 x 2 numbers'),
    (json.dumps([dict(RECORD, image='1.jpg', center=[1, 'a'])]), 'center of 1.jpg must be 2 numbers'),
    (json.dumps([dict(RECORD, image=5)]), 'image=5 must be the name of a file'),
    (json.dumps(records(1)), '1 people of 1 image cannot be divided'),
])
def test_other_content_is_one_line_and_status_2(tmp_path, run, content, said):
    (tmp_path / 'mpii_train.json').write_text(content)
    status, out, err = run(tmp_path / 'mpii_train.json')
    assert (status, out) == (2, '') and said in err and len(err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ['mpii_train.json']


@pytest.mark.parametrize('options, said', [
    (['--split-by', 'video'], "--split-by video needs MPII's mpii_human_pose_v1_u12_1.mat"),
    (['--require-visible'], "--require-visible needs MPII's mpii_human_pose_v1_u12_1.mat"),
    (['--split-by', 'person'], '--split-by person must be image or video'),
    (['--val-percent', 0], 'percent=0 must be above 0 and below 100'),
    (['--val-percent', 100], 'percent=100 must be above 0 and below 100'),
])
def test_what_a_json_does_not_say_and_values_out_of_range(write, run, options, said):
    status, out, err = run(write(records(5)), *options)
    assert (status, out) == (2, '') and said in err


def test_files_that_are_not_there_or_do_not_go_together(write, release, run, tmp_path):
    assert run(tmp_path / 'none.mat')[::2] == (
        2, f'prepare-mpii-captions: error: {tmp_path / "none.mat"} is not there\n')
    status, _, err = run(release, write(records(5)))
    assert status == 2 and 'has all of MPII: give it alone, or json files alone' in err


def test_the_command_prints_its_counts_beside_the_papers(release, run, tmp_path):
    status, out, _ = run(release, '--out', tmp_path / 'out')
    assert status == 0
    for line in ('50 images', '40 with all sixteen joints annotated (the paper: 1475)', '32 train (the paper: 1170)',
                 ' 8 val (the paper: 293)'):
        assert f'  {line}\n' in out


def test_same_input_and_seed_same_bytes_and_nothing_is_replaced_unasked(release, run, tmp_path):
    folder = tmp_path / 'out'
    assert run(release, '--out', folder)[0] == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run(release, '--out', folder)[1].count('unchanged') == 4
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    status, _, err = run(release, '--out', folder, '--val-percent', 50)
    assert status == 2 and '--force' in err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert run(release, '--out', folder, '--val-percent', 50, '--force')[1].count('replaced') == 4


def test_the_manifest_has_the_sums_of_what_was_read_and_written(release):
    contents = prepare_captions([release], seed=0).contents
    manifest = json.loads(contents['mpii_captions_manifest.json'])
    assert manifest['sources'] == [dict(file='mpii.mat', sha256=hashlib.sha256(release.read_bytes()).hexdigest())]
    assert manifest['files'] == {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()
                                 if 'manifest' not in name}
    assert manifest['arguments'] == dict(require_visible=False, val_percent=20, seed=0, split_by='image')
    assert manifest['counts']['train'] == 32
    # SciPy writes the time of day here.
    assert contents['mpii_captions_gt_val.mat'][:116].strip() == b'MATLAB 5.0 MAT-file, MPII, people of pose captions'


def test_mmpose_reads_the_files_with_their_head_boxes(release, run, tmp_path):
    run(release, '--out', tmp_path)
    dataset = DATASETS.build(dict(
        type='MpiiDataset', ann_file=str(tmp_path / 'mpii_captions_val.json'), test_mode=True,
        headbox_file=str(tmp_path / 'mpii_captions_gt_val.mat')))
    assert len(dataset) == 8
    np.testing.assert_allclose(dataset[0]['head_size'], [[0.6 * 50]])  # of 30 by 40
    truth = loadmat(tmp_path / 'mpii_captions_gt_val.mat')
    assert truth['headboxes_src'][..., 0].tolist() == [[10, 20], [40, 60]]
    assert truth['pos_gt_src'].shape == (16, 2, 8) and not truth['jnt_missing'].any()
    for index in range(8):
        np.testing.assert_allclose(truth['pos_gt_src'][..., index], dataset[index]['keypoints'][0], atol=1e-4)
