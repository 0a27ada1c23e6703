import shutil

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmpose.registry import DATASETS
from penn_action_release import make_labels, write_video
from scipy.io import savemat

CROP = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale'), dict(type='ShiftBBoxCenter'),
        dict(type='TopdownAffine', input_size=(128, 128))]


@pytest.fixture
def root(tmp_path):
    """Two videos to train on, one to test on."""
    for name, train, num_frames in (('0001', 1, 4), ('0002', -1, 3), ('0010', 1, 2)):
        write_video(tmp_path, name, make_labels(num_frames, train=train, seed=int(name)))
    return tmp_path


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'info', lines.append)
    return lines


def build(root, **arguments):
    return DATASETS.build(dict(type='mmpose.PennActionDataset', data_root=str(root), **arguments))


def rewrite(root, name, **changes):
    labels = make_labels(4)
    labels.update(changes)
    savemat(root / 'labels' / f'{name}.mat', {key: value for key, value in labels.items() if value is not None})
    return labels


def test_frames_come_video_by_video_with_labels_in_pixels_from_0(root):
    dataset = build(root)
    assert [(info['video'], info['frame']) for info in map(dataset.get_data_info, range(len(dataset)))] == [
        *(('0001', frame) for frame in (1, 2, 3, 4)), ('0010', 1), ('0010', 2)]
    labels = make_labels(4, seed=1)
    info = dataset.get_data_info(2)
    assert info['img_path'] == str(root / 'frames/0001/000003.jpg') and info['id'] == info['img_id'] == 2
    np.testing.assert_allclose(info['keypoints'], np.stack([labels['x'][2], labels['y'][2]], -1)[None] - 1, rtol=1e-6)
    np.testing.assert_allclose(info['bbox'], labels['bbox'][None, 2] - 1, rtol=1e-6)
    assert info['keypoints_visible'].shape == (1, 13) and info['keypoints_visible'].all()
    assert info['keypoints'].dtype == info['bbox'].dtype == info['keypoints_visible'].dtype == np.float32
    assert info['num_keypoints'] == 13 and info['bbox_score'].tolist() == [1]


@pytest.mark.parametrize('arguments, videos', [
    (dict(), ['0001'] * 4 + ['0010'] * 2),
    (dict(split='test', test_mode=True), ['0002'] * 3),
    (dict(split='all'), ['0001'] * 4 + ['0002'] * 3 + ['0010'] * 2),
    (dict(split='all', sample_interval=2), ['0001'] * 2 + ['0002'] * 2 + ['0010']),
    (dict(indices=3), ['0001'] * 3),
])
def test_split_interval_and_indices_choose_the_frames(root, arguments, videos):
    dataset = build(root, **arguments)
    assert [dataset.get_data_info(index)['video'] for index in range(len(dataset))] == videos


def test_an_interval_counts_from_the_first_frame_of_each_video(root):
    dataset = build(root, split='all', sample_interval=3)
    assert [dataset.get_data_info(index)['frame'] for index in range(len(dataset))] == [1, 4, 1, 1]


def test_only_the_frames_that_are_used_have_to_be_there(root):
    (root / 'frames/0001/000002.jpg').unlink()
    shutil.rmtree(root / 'frames/0002')
    assert len(build(root, sample_interval=3)) == 3


def test_folders_can_have_other_names(root):
    (root / 'labels').rename(root / 'marks')
    (root / 'frames').rename(root / 'pictures')
    assert len(build(root, ann_file='marks', data_prefix=dict(img='pictures'))) == 6
    assert len(build('', ann_file=str(root / 'marks'), data_prefix=dict(img=str(root / 'pictures')))) == 6


def test_a_missing_last_box_is_the_one_before(root, log):
    labels = rewrite(root, '0001', bbox=make_labels(4)['bbox'][:3])
    dataset = build(root)
    boxes = [dataset.get_data_info(index)['bbox'] for index in (2, 3)]
    np.testing.assert_allclose(boxes, [labels['bbox'][None, 2] - 1] * 2, rtol=1e-6)
    assert log == ["Penn Action, split='train': 6 frames of 2 videos; 1 frames without a box take the one before"]


def test_frames_without_box_or_visible_joint_are_left_out_and_counted(root, log):
    labels = make_labels(4)
    labels['visibility'][:2] = 0
    labels['bbox'][1] = [50, 50, 50, 80]
    labels['bbox'][2, 2] = np.inf
    rewrite(root, '0001', visibility=labels['visibility'], bbox=labels['bbox'])
    dataset = build(root)
    assert [dataset.get_data_info(index)['frame'] for index in range(len(dataset))] == [4, 1, 2]
    assert log == ["Penn Action, split='train': 3 frames of 2 videos; 2 frames without a proper box are left out; 1 "
                   'frames without a visible joint are left out']


def test_a_joint_without_coordinates_is_not_visible(root):
    labels = make_labels(4)
    labels['x'][0, 5] = np.nan
    labels['visibility'][0, 6] = 0
    rewrite(root, '0001', x=labels['x'], visibility=labels['visibility'])
    info = build(root).get_data_info(0)
    assert np.flatnonzero(info['keypoints_visible'][0] == 0).tolist() == [5, 6] and info['num_keypoints'] == 11
    assert np.isfinite(info['keypoints']).all()
    np.testing.assert_allclose(info['keypoints'][0, 6], [labels['x'][0, 6] - 1, labels['y'][0, 6] - 1], rtol=1e-6)


@pytest.mark.parametrize('changes, message', [
    (dict(visibility=None, bbox=None), r'0001\.mat has no visibility, bbox, as the labels of Penn Action do$'),
    (dict(nframes=5), r'0001\.mat: x is 4 x 13, not 5 x 13 for the 5 frames of nframes$'),
    (dict(nframes=3), r'0001\.mat: x is 4 x 13, not 3 x 13'),
    (dict(y=np.ones((4, 14))), r'0001\.mat: y is 4 x 14, not 4 x 13'),
    (dict(visibility=np.ones((3, 13))), r'0001\.mat: visibility is 3 x 13, not 4 x 13'),
    (dict(bbox=np.ones((5, 4))), r'0001\.mat: bbox is 5 x 4, not 4 x 4'),
    (dict(bbox=np.ones((0, 4))), r'0001\.mat: bbox is 0 x 4, not 4 x 4|0001\.mat: bbox is 0 x 0'),
    (dict(bbox=np.ones((4, 5))), r'0001\.mat: bbox is 4 x 5, not 4 x 4'),
    (dict(x='many'), r'0001\.mat: train and nframes must be a number, x, y, visibility and bbox arrays of them \('),
    (dict(train=np.ones((1, 2))), r'0001\.mat: train and nframes must be a number'),
])
def test_labels_of_another_form_are_named(root, changes, message):
    rewrite(root, '0001', **changes)
    with pytest.raises(ValueError, match=message) as error:
        build(root)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('keep', [0, 20, 200, 600])
def test_half_a_file_is_named(root, keep):
    path = root / 'labels/0001.mat'
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r'0001\.mat (cannot be read as a MAT-file|has no )'):
        build(root)


def test_missing_frames_are_named(root):
    (root / 'frames/0010/000002.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of the 2 frames that .*0010\.mat labels are not in .*0010, the '
                                                r'first is 000002\.jpg$'):
        build(root)
    shutil.rmtree(root / 'frames/0010')
    with pytest.raises(FileNotFoundError, match=r'frames of .*0010\.mat must be in .*frames/0010, which is not there'):
        build(root)


def test_a_wrong_folder_is_named(root, tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'labels/._0001.mat').write_bytes(b'of macOS')
    assert len(build(root)) == 6
    with pytest.raises(FileNotFoundError, match=r"ann_file='.*nowhere' must be the folder labels .* not there$"):
        build(root, ann_file='nowhere')
    with pytest.raises(FileNotFoundError, match=r'is no folder$'):
        build(root, ann_file='labels/0001.mat')
    with pytest.raises(ValueError, match=r"ann_file='.*empty' must be the folder labels .* has no .mat file in it$"):
        build(root, ann_file='empty')
    (root / 'labels/0002.mat').unlink()
    with pytest.raises(ValueError, match=r"no frame to use: 0 of its videos are in split='test'$"):
        build(root, split='test')


@pytest.mark.parametrize('arguments, message', [
    (dict(split='val'), "^split='val' must be one of"),
    (dict(sample_interval=0), '^sample_interval=0 must be'),
    (dict(sample_interval=1.5), r'^sample_interval=1\.5 must be'),
    (dict(bbox_file='boxes.json', test_mode=True), "^bbox_file='boxes.json' is not for PennActionDataset"),
])
def test_arguments_that_make_no_sense_are_named(root, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(root, **arguments)


def test_the_metainfo_pairs_left_and_right_and_has_the_names_of_the_prompts(root):
    meta = build(root).metainfo
    names = [meta['keypoint_id2name'][index] for index in range(13)]
    config = Config.fromfile('configs/_base_/keypoint_names/pennaction.py')
    assert [name.replace('_', ' ') for name in names] == config.keypoint_names
    assert meta['flip_indices'] == [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11]
    assert meta['lower_body_ids'] == [7, 8, 9, 10, 11, 12] and meta['num_skeleton_links'] == 14
    assert len(meta['sigmas']) == len(meta['dataset_keypoint_weights']) == 13
    coco = DATASETS.get('CocoDataset')._load_metainfo()
    for index, name in enumerate(names[1:], 1):
        place = coco['keypoint_name2id'][name]
        assert meta['sigmas'][index] == coco['sigmas'][place]
        assert meta['dataset_keypoint_weights'][index] == coco['dataset_keypoint_weights'][place]


def test_video_reaches_the_data_samples_where_it_is_named(root):
    pack = dict(type='PackPoseInputs', meta_keys=('id', 'img_path', 'video', 'flip_indices'))
    sample = build(root, pipeline=[*CROP, pack])[4]['data_samples']
    assert sample.video == '0010' and sample.img_path.endswith('frames/0010/000001.jpg')
    assert sample.gt_instances.keypoints.shape == (1, 13, 2)


def test_it_goes_through_an_augmented_bottom_up_and_a_serialised_loader(root):
    codec = dict(type='MSRAHeatmap', input_size=(128, 128), heatmap_size=(32, 32), sigma=2)
    train = [CROP[0], CROP[1], CROP[2], dict(type='RandomFlip', prob=1.), dict(type='RandomHalfBody', prob=1.),
             dict(type='RandomBBoxTransform'), CROP[3], dict(type='GenerateTarget', encoder=codec),
             dict(type='PackPoseInputs')]
    assert build(root, pipeline=train)[0]['data_samples'].gt_fields.heatmaps.shape == (13, 32, 32)
    assert len(build(root, data_mode='bottomup')) == 6


def test_the_crop_is_that_of_ttp(root):
    """Its formula, but for the pixel that it adds to a box's size and half a pixel of its place."""
    info = build(root, pipeline=CROP)[0]
    box = make_labels(4, seed=1)['bbox'][0]
    scale = max(box[2] - box[0], box[3] - box[1]) / 200
    centre = [(box[0] + box[2]) / 2 - 1, (box[1] + box[3]) / 2 + 15 * scale - 1]
    np.testing.assert_allclose(info['input_center'], centre, rtol=1e-5)
    np.testing.assert_allclose(info['input_scale'], [1.25 * 200 * scale] * 2, rtol=1e-5)
