import cv2
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.models.data_preprocessors import PoseDataPreprocessor
from mmpose.structures import PoseDataSample

from clamp_mmpose.visualization import draw_masking, draw_masking_errors, find_parts, masking_table, predict_masked

META = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/mpii.py'))
NAMES = [*META['keypoint_id2name'].values()]
MEAN = [100.0, 120.0, 140.0]


class Brightest:
    """A stand-in that puts every keypoint on the brightest pixel, and the last one nowhere; it keeps what it has seen.
    """

    def __init__(self):
        self.data_preprocessor = PoseDataPreprocessor(mean=MEAN, std=[50.0] * 3, bgr_to_rgb=True)
        self.seen = []

    def predict(self, inputs, samples):
        self.seen.append(inputs.clone())
        for image, sample in zip(inputs, samples):
            place = int(image.sum(0).argmax())
            point = np.array([place % image.shape[2], place // image.shape[2]], float)
            point = point / sample.input_size * sample.input_scale  # the whole image
            scores = np.ones((1, 16), np.float32)
            scores[0, -1] = 0
            sample.pred_instances = InstanceData(keypoints=np.tile(point, (1, 16, 1)), keypoint_scores=scores)
        return samples


class Pictures:
    """Images of 80x40, seen as 64x64, with a white dot on the right knee."""

    def __init__(self, folder, annotated=True):
        self.points = np.random.default_rng(0).integers((30, 4), (76, 36), (16, 2)).astype(float)
        self.points[1], self.annotated = (50, 20), annotated
        image = np.full((40, 80, 3), 90, np.uint8)
        image[19:22, 49:52] = 255
        image[5:7, 5:7] = 200
        self.path = str(folder / 'a.png')
        cv2.imwrite(self.path, image)

    def __getitem__(self, index):
        image = cv2.resize(cv2.imread(self.path), (64, 64))
        visible = np.ones((1, 16))
        visible[0, 3] = 0
        truth = InstanceData(keypoints=self.points[None], keypoints_visible=visible)
        sample = PoseDataSample(
            gt_instances=truth if self.annotated else InstanceData(bboxes=np.array([[0, 0, 80, 40]])),
            metainfo=dict(img_path=self.path, input_size=(64, 64), input_center=np.array([40, 20]),
                          input_scale=np.array([80, 40])))
        return dict(inputs=torch.from_numpy(image).permute(2, 0, 1).contiguous(), data_samples=sample)


def predict(tmp_path, parts, annotated=True, **options):
    model = Brightest()
    return model, predict_masked(model, Pictures(tmp_path, annotated), 0, parts, **options)


def test_the_part_is_filled_with_the_mean_colour_before_the_model_sees_it(tmp_path):
    model, found = predict(tmp_path, dict(knee=[1]), margin=0.1)
    whole, (masked, ) = model.seen
    left, top, right, bottom = found['knee'].box
    knee = np.array([50, 20]) * 64 / [80, 40]
    assert left < knee[0] < right and top < knee[1] < bottom and (right - left) * (bottom - top) < 64 * 64 / 8
    changed = (masked != whole[0]).any(0)
    assert changed[top:bottom, left:right].all() and not changed[:top].any() and not changed[:, :left].any()
    assert (masked[:, top:bottom, left:right] == 0).all()
    # The picture that is drawn shows the same, in the proportions of the image.
    image = found['knee'].view.image
    assert image.shape[1] == 2 * image.shape[0]
    grey = (image == np.array(MEAN)).all(-1)
    rows, columns = np.flatnonzero(grey.any(1)), np.flatnonzero(grey.any(0))
    np.testing.assert_allclose([columns[0], columns[-1] + 1], np.array([left, right]) / 64 * image.shape[1], atol=1)
    np.testing.assert_allclose([rows[0], rows[-1] + 1], np.array([top, bottom]) / 64 * image.shape[0], atol=1)


def test_errors_before_and_after_are_in_input_pixels(tmp_path):
    _, found = predict(tmp_path, dict(knee=[1]))
    whole, masked = found[None], found['knee']
    assert whole.error[1] < 5 and masked.error[1] > 20  # the dot is hidden, and the other corner the brightest
    scale = 64 / np.array([80, 40])
    points = Pictures(tmp_path).points * scale
    for pose in (whole, masked):
        predicted = pose.view.sample.pred_instances.keypoints[0] * scale
        expected = np.hypot(*(predicted - points).T)
        expected[[3, 15]] = np.nan  # not labelled, not predicted
        np.testing.assert_allclose(pose.error, expected)
    assert np.isnan(masked.moved[15]) and masked.moved[3] > 20 and np.nanmax(whole.moved) == 0


def test_what_lies_in_the_box_is_hidden(tmp_path):
    _, found = predict(tmp_path, {'first': [0, 1, 2], 'knee': [1]}, margin=0)
    points = Pictures(tmp_path).points * 64 / [80, 40]
    for pose in (found['first'], found['knee']):
        box = pose.box
        inside = [box[0] <= x < box[2] and box[1] <= y < box[3] for x, y in points]
        inside[3] = False  # not labelled
        assert pose.hidden.tolist() == inside
    assert not found[None].hidden.any()


def test_without_labels_the_prediction_says_where_the_part_is(tmp_path):
    _, found = predict(tmp_path, dict(knee=[1], last=[15]), annotated=False, margin=0.3)
    left, top, right, bottom = found['knee'].box
    assert left <= 40 < right and top <= 32 < bottom
    assert np.isnan(found['knee'].error).all() and found['knee'].moved[0] > 20
    assert found['last'].box is None and found['last'].moved[0] == 0


def test_a_part_without_label_is_not_hidden(tmp_path):
    model, found = predict(tmp_path, dict(hip=[3]))
    assert found['hip'].box is None and len(model.seen) == 1
    figure = draw_masking([found], META)
    assert 'none of these keypoints is known' in figure.axes[1].get_xlabel()


def test_the_table_has_a_row_for_each_keypoint_and_part(tmp_path):
    _, found = predict(tmp_path, dict(knee=[1], hip=[3]))
    rows = list(masking_table([found, found], NAMES))
    assert len(rows) == 2 * 2 * 16
    knee = rows[1]
    assert knee[:4] == ['a.png', 'knee', 'right_knee', 1]
    assert [float(value) for value in knee[4:]] == pytest.approx(
        [found[None].error[1], found['knee'].error[1], found['knee'].moved[1]], rel=1e-3)
    assert rows[3][4:6] == ['', ''] and rows[15][4:] == ['', '', ''] and rows[16][3] == ''


@pytest.mark.parametrize('annotated', [True, False])
def test_figures_state_errors_or_how_far_the_prediction_moves(tmp_path, annotated):
    _, found = predict(tmp_path, dict(knee=[1]), annotated=annotated)
    figure = draw_masking([found, found], META)
    assert [ax.get_title() for ax in figure.axes[:2]] == ['nothing hidden', 'knee']
    words = figure.axes[1].get_xlabel()
    if annotated:
        mean = np.nanmean(found['knee'].error)
        assert words.startswith(f'mean error {mean:.1f}\nhidden ')
    else:
        assert words == f"moved by {np.nanmean(found['knee'].moved):.1f} px"
    FigureCanvasAgg(figure).draw()
    table = draw_masking_errors([found, found], NAMES)
    FigureCanvasAgg(table).draw()
    labels = [label.get_text() for label in table.axes[0].get_yticklabels()]
    assert 'left_wrist' not in labels and 'right_knee' in labels and labels[-1] == 'mean'
    assert ('left_hip' in labels) != annotated
    values = np.asarray(table.axes[0].images[0].get_array())
    expected = np.nanmean(found['knee'].error if annotated else found['knee'].moved)
    assert values[-1, -1] == pytest.approx(expected) and values.shape[1] == 1 + annotated


def test_parts_of_the_body_by_their_words():
    wanted = ['lower-body', 'first-four', 'first-2', 'RIGHT KNEE', 'pelvis+head']
    found = find_parts(wanted, [*'abcdefghijklmno', 'head'], META, order=[9, 8, 7, 6, 5])
    assert {NAMES[index] for index in found['lower-body']} == {
        'right_ankle', 'right_knee', 'right_hip', 'left_hip', 'left_knee', 'left_ankle', 'pelvis'}
    assert found['first-four'] == [6, 7, 8, 9] and found['first-2'] == [8, 9]
    assert found['RIGHT KNEE'] == [1] and found['pelvis+head'] == [6, 15]  # the caption's name of joint 15 here


@pytest.mark.parametrize('part', ['tail', 'first-', 'first-x', 'xfirst-4', 'first-0', ''])
def test_other_parts_are_refused(part):
    with pytest.raises(ValueError, match=f"mask='{part}'"):
        find_parts([part], NAMES, META)


def test_a_dataset_without_halves_says_so():
    with pytest.raises(ValueError, match="mask='lower-body': the dataset does not say"):
        find_parts(['lower-body'], NAMES, dict(META, lower_body_ids=[]))
