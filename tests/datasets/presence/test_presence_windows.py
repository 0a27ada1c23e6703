"""Windows within the box of a sample: which there are, and that they stay on their pixels."""
import numpy as np
import pytest
from mmpose.registry import DATASETS, TRANSFORMS
from PIL import Image
from torch.testing import assert_close

COCO = dict(from_file='configs/_base_/datasets/coco.py')
SIZE = (96, 96)
WIDTH, HEIGHT = 121, 90
LOAD, PRESENCE = dict(type='LoadImage'), dict(type='GeneratePresence')
BOX, CROP = dict(type='GetBBoxCenterScale', padding=1.0), dict(type='TopdownAffine', input_size=SIZE)
NO_SHIFT = dict(type='RandomBBoxTransform', shift_prob=0.0, rotate_prob=0.0, scale_prob=1.0, scale_factor=(1.1, 1.5))
COLOURS = {'left_ear': 0, 'right_knee': 1, 'nose': 2}  # channel in which the window with the tag is painted
INSIDE = {'left_ear': (30, 20, 20, 14), 'right_knee': (64, 50, 18, 24), 'nose': (25, 52, 12, 20)}
CUT = (80, 5, 40, 30)  # a part of it lies in the box of the sample
PICTURE = ['image,box,tags', 'a.png,20 10 70 70,nose left_ear right_knee',
           *(f'a.png,{x} {y} {w} {h},{tag}' for tag, (x, y, w, h) in INSIDE.items()),
           'a.png,{} {} {} {},nose'.format(*CUT), 'a.png,91 5 20 80,nose', 'b.png,30 20 20 14,nose']


@pytest.fixture
def folder(tmp_path):
    """A black picture with a rectangle on each window, from its first corner to its last, both included."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for tag, (x, y, w, h) in INSIDE.items():
        pixels[y:y + h + 1, x:x + w + 1, COLOURS[tag]] = 255
    for name in ('a.png', 'b.png'):
        Image.fromarray(pixels[..., ::-1].copy()).save(tmp_path / name)
    return tmp_path


def open_rows(folder, rows, windows, *pipeline, **kwargs):
    (folder / 'tags.csv').write_text('\n'.join(rows) + '\n')
    return DATASETS.build(dict(
        type='PresenceTagDataset', ann_file='tags.csv', data_root=str(folder), metainfo=COCO, windows=windows,
        pipeline=list(pipeline), **kwargs))


def pack_one(folder, *pipeline, rows=PICTURE, windows=3, seed=0):
    np.random.seed(seed)
    return open_rows(folder, rows, 3, LOAD, PRESENCE, BOX, *pipeline,
                     dict(type='PackPresenceInputs', windows=windows)).prepare_data(0)


def test_samples_are_the_rows_that_contain_enough_others(folder):
    dataset = open_rows(folder, PICTURE, 3)
    assert len(dataset) == 1
    sample = dataset[0]
    assert sample['id'] == 0 and sample['bbox'].tolist() == [[20, 10, 90, 80]]
    boxes = [[x, y, x + w, y + h] for x, y, w, h in (*INSIDE.values(), CUT)]
    assert sample['window_boxes'].tolist() == boxes
    assert sample['window_boxes'].dtype == sample['window_presence'].dtype == np.float32
    assert [np.flatnonzero(row).tolist() for row in sample['window_presence']] == [[3], [14], [0], [0]]


def test_without_windows_each_row_is_a_sample_as_ever(folder):
    dataset = open_rows(folder, PICTURE, 0)
    assert len(dataset) == 7 and not any('window' in key for key in dataset[0])


@pytest.mark.parametrize('box, contained', [
    ('20 10 70 70', True), ('19 9 72 72', True), ('18 10 70 70', False), ('20 10 72 70', False), ('20 10 70 72', False),
    ('20 8 70 70', False)])
def test_a_window_may_stand_out_by_a_pixel(folder, box, contained):
    rows = ['image,box,tags', 'a.png,20 10 70 70.01,nose', f'a.png,{box},left_eye', 'a.png,40 40 9 9,left_ear']
    samples = list(open_rows(folder, rows, 1))
    assert samples[0]['id'] == 0 and len(samples[0]['window_boxes']) == 2
    if contained:
        open_rows(folder, rows, 2)
    else:
        with pytest.raises(ValueError, match='the most that one contains is'):
            open_rows(folder, rows[:3], 2)


def test_large_pictures_count_their_own_rows_alone(folder):
    """Against plain loops, with samples in the order of the rows."""
    random = np.random.default_rng(0)
    boxes = [(random.choice(['a.png', 'b.png']), *random.integers(1, 50, 4)) for _ in range(150)]
    rows = [f'{name},{x} {y} {w} {min(h, HEIGHT - y - 1)},nose' for name, x, y, w, h in dict.fromkeys(boxes)]
    every = [row.split(',')[:1] + [int(number) for number in row.split(',')[1].split()] for row in rows]
    expected, beside = {}, {}
    for place, (name, x, y, w, h) in enumerate(every):
        others = [box for other, (picture, *box) in enumerate(every) if other != place and picture == name]
        expected[place] = sum(a >= x - 1 and b >= y - 1 and a + c <= x + w + 1 and b + d <= y + h + 1
                              for a, b, c, d in others)
        beside[place] = sum(a < x + w and x < a + c and b < y + h and y < b + d for a, b, c, d in others)
    dataset = open_rows(folder, ['image,box,tags', *rows], 4)
    assert {dataset[index]['id']: len(dataset[index]['window_boxes']) for index in range(len(dataset))} == {
        place: beside[place] for place, number in expected.items() if number >= 4}
    assert [dataset[index]['id'] for index in range(len(dataset))] == sorted(
        place for place, number in expected.items() if number >= 4)


def test_a_table_without_windows_is_told(folder):
    with pytest.raises(ValueError, match=r'tags.csv has no row .* windows=4 others of its picture: the most .* is 3'):
        open_rows(folder, PICTURE, 4)


@pytest.mark.parametrize('windows', [-1, 1.5, True, None, '3'])
def test_numbers_of_windows_that_make_no_sense_are_told(folder, windows):
    with pytest.raises(ValueError, match=f'windows={windows!r} must be a whole number, 0 or more'):
        open_rows(folder, PICTURE, windows)
    with pytest.raises(ValueError, match=f'windows={windows!r} must be a whole number, 1 or more'):
        TRANSFORMS.build(dict(type='PackPresenceInputs', windows=windows))


@pytest.mark.parametrize('crop', [CROP, dict(CROP, use_udp=True), dict(CROP, input_size=(96, 128))])
@pytest.mark.parametrize('flip, mirrored', [
    (None, False), ('horizontal', True), ('vertical', True), ('diagonal', False)])
def test_windows_stay_on_their_pixels(folder, flip, mirrored, crop):
    steps = [dict(type='RandomFlip', prob=1.0, direction=flip)] if flip else []
    sample = pack_one(folder, *steps, NO_SHIFT, crop)
    pixels = sample['inputs'].numpy()
    labels = sample['data_samples'].gt_instance_labels
    assert labels.window_boxes.shape == (1, 6, 4) and labels.window_presence.shape == (1, 6, 17)
    labels.window_boxes, labels.window_presence = labels.window_boxes[:, :3], labels.window_presence[:, :3]
    names = {(4 if mirrored else 3): 'left_ear', (13 if mirrored else 14): 'right_knee', 0: 'nose'}
    seen = set()
    for box, present in zip(labels.window_boxes[0].numpy(), labels.window_presence[0].numpy()):
        (keypoint, ) = np.flatnonzero(present)
        seen.add(keypoint)
        rows, columns = np.nonzero(pixels[COLOURS[names[keypoint]]] > 127)
        np.testing.assert_allclose(box, [columns.min(), rows.min(), columns.max(), rows.max()], atol=1.5)
    assert seen == set(names)


def test_what_a_window_lacks_the_part_that_is_shown_lacks_too(folder):
    # Shows 27 to 83, 17 to 73, in which one of the four lies whole.
    near = dict(NO_SHIFT, scale_factor=(0.8, 0.8))
    labels = pack_one(folder, near, CROP, windows=5)['data_samples'].gt_instance_labels
    boxes, presence = labels.window_boxes[0], labels.window_presence[0].numpy()
    assert boxes.shape == (10, 4) and presence.shape == (10, 17)
    assert boxes.isnan().all(1).tolist() == [False] * 4 + [True] * 6
    assert np.argwhere(presence == 1).tolist() == [[0, 3]]
    unknown = {int(keypoint): boxes[row].numpy() for row, keypoint in np.argwhere(np.isnan(presence))}
    assert sorted(unknown) == [0, 14] and np.isnan(presence).sum() == 3  # two noses
    scale = 96 / 56
    np.testing.assert_allclose(unknown[14], np.array([64 - 27, 50 - 17, 82 - 27, 73 - 17]) * scale, atol=.01)
    assert not presence[4:].any()


def test_windows_that_the_input_does_not_show_are_left_out(folder):
    # Shows 34 to 76, 24 to 66, and of none all.
    near = dict(NO_SHIFT, scale_factor=(0.6, 0.6))
    labels = pack_one(folder, near, CROP, windows=5)['data_samples'].gt_instance_labels
    assert labels.window_boxes[0].isnan().all(1).tolist() == [False] * 3 + [True] * 7
    assert not (labels.window_presence == 1).any()
    labels = pack_one(folder, CROP, windows=5)['data_samples'].gt_instance_labels
    assert labels.window_boxes[0].isnan().all(1).tolist() == [False] * 4 + [True] * 6
    assert labels.window_presence[0, :3].sum(1).tolist() == [1, 1, 1]
    assert labels.window_presence[0, 3].isnan().tolist() == [True] + [False] * 16


def test_a_window_at_the_edge_is_clipped_to_the_input(folder):
    rows = [*PICTURE[:4], 'a.png,19.5 9.5 71 71,left_eye', 'a.png,20 10 40 40,left_eye']
    boxes = pack_one(folder, CROP, rows=rows, windows=4)['data_samples'].gt_instance_labels.window_boxes[0, :4]
    assert not boxes.isnan().any() and boxes.min() == 0 and boxes.max() == 96
    assert [0, 0, 96, 96] in boxes.tolist()


def test_windows_are_drawn_at_random_without_repeats(folder):
    drawn = [tuple(sorted(map(tuple, pack_one(folder, CROP, windows=2, seed=seed)[
        'data_samples'].gt_instance_labels.window_boxes[0, :2].tolist()))) for seed in range(30)]
    assert len(set(drawn)) == 3 and all(len(set(pair)) == 2 for pair in drawn)
    same = [pack_one(folder, CROP, windows=2, seed=7)['data_samples'].gt_instance_labels for _ in range(2)]
    assert_close(same[0].window_boxes, same[1].window_boxes, rtol=0, atol=0, equal_nan=True)


def test_samples_without_windows_draw_no_random_numbers(folder):
    dataset = open_rows(folder, PICTURE, 0, LOAD, PRESENCE, BOX, CROP, dict(type='PackPresenceInputs'))
    np.random.seed(0)
    sample = dataset.prepare_data(0)
    assert 'window_boxes' not in sample['data_samples'].gt_instance_labels
    after = np.random.rand()
    np.random.seed(0)
    assert np.random.rand() == after


def test_targets_and_windows_go_together(folder):
    target = dict(type='GenerateTarget', encoder=dict(
        type='MSRAHeatmap', input_size=SIZE, heatmap_size=(24, 24), sigma=1))
    labels = pack_one(folder, CROP, target)['data_samples'].gt_instance_labels
    assert not labels.keypoint_weights.any() and labels.window_presence.nansum() == 3
    assert labels.presence.sum() == 3


FLIP = dict(type='RandomFlip', prob=0.0)


@pytest.mark.parametrize('steps, told', [
    ([dict(NO_SHIFT, rotate_prob=1.0), CROP], 'rotate_prob=0'),
    ([CROP, dict(type='RandomFlip', prob=1.0)], 'RandomFlip stands after TopdownAffine'),
    ([], 'through TopdownAffine alone'),
    ([FLIP, FLIP, CROP], 'several RandomFlip'),
    ([dict(NO_SHIFT, rotate_prob=0.01), CROP], 'rotate_prob=0')])
def test_pipelines_that_lose_the_windows_are_told(folder, steps, told):
    with pytest.raises(ValueError, match=told):
        pack_one(folder, *steps)


def test_a_packer_that_drops_windows_is_told(folder):
    with pytest.raises(ValueError, match='PackPoseInputs does not pack them'):
        open_rows(folder, PICTURE, 3, LOAD, PRESENCE, BOX, CROP, dict(type='PackPoseInputs')).prepare_data(0)
