import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.structures import PoseDataSample

from clamp_mmpose.codecs import CaptionPose
from clamp_mmpose.visualization import (
    CaptionCell,
    PoseView,
    caption_error,
    draw_captions,
    label_cell,
    prediction_cell,
)

META = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/mpii.py'))
CODEC = CaptionPose((100, 100))
TRUTH = np.random.default_rng(0).integers(5, 90, (16, 2)).astype(float)


def view(caption, codec=CODEC, visible=None, annotated=True, width=200, height=100, scores=0.4):
    """A whole image of 200x100 pixels, squeezed into 100x100, with the prediction that ``caption`` gives."""
    visible = np.ones(16) if visible is None else np.asarray(visible, float)
    stretch = np.array([width, height]) / 100
    decoded = codec.decode(caption)
    points = decoded.keypoints[0] * stretch
    truth = InstanceData(keypoints=(TRUTH * stretch)[None], keypoints_visible=visible[None])
    sample = PoseDataSample(
        gt_instances=truth if annotated else InstanceData(bboxes=np.zeros((1, 4))),
        pred_instances=InstanceData(keypoints=points[None], keypoint_scores=decoded.valid * scores),
        metainfo=dict(input_size=(100, 100), input_center=np.array([width, height]) / 2,
                      input_scale=np.array([width, height])))
    sample.pred_caption = dict(caption=caption, ok=decoded.report[0].ok)
    return PoseView('a.jpg', np.full((height, width, 3), 127, np.uint8), TRUTH * stretch if annotated else 0 * TRUTH,
                    visible if annotated else 0 * visible, points, decoded.valid[0] * scores, sample=sample)


def test_the_label_is_written_as_the_codec_writes_it():
    cell = label_cell(view(''), CODEC)
    assert cell.caption == CODEC.write(TRUTH) and cell.given.all() and cell.sound
    np.testing.assert_array_equal(cell.points, TRUTH * [2, 1])
    assert label_cell(view('', annotated=False), CODEC).caption == ''


def test_a_label_that_the_codec_refuses_says_why():
    cell = label_cell(view('', visible=[0] + [1] * 15), CaptionPose((100, 100), missing='forbid'))
    assert 'lack rankl' in cell.note and not cell.sound and cell.given.sum() == 15


def test_a_prediction_states_its_error_in_input_pixels():
    """The image is twice as wide as the input."""
    off = TRUTH + np.array([3, 4])
    seen = view(CODEC.write(off))
    assert caption_error(seen, CODEC) == pytest.approx(5)
    cell = prediction_cell(seen, CODEC)
    assert cell.note == 'mean error 5.0 px; confidence 0.40' and cell.sound and cell.given.all()
    assert np.isnan(caption_error(view(CODEC.write(off), annotated=False), CODEC))
    assert prediction_cell(view(CODEC.write(off), annotated=False), CODEC).note == 'confidence 0.40'


def test_only_labelled_joints_that_the_caption_has_count_for_the_error():
    points = TRUTH.copy()
    points[3] += [0, 8]
    points[5] += [50, 50]
    visible = np.ones(16)
    visible[5] = 0
    caption = CODEC.write(points, [1] * 4 + [0] * 8 + [1] * 4)
    assert caption_error(view(caption, visible=visible), CODEC) == pytest.approx(8 / 8)
    assert prediction_cell(view(caption, visible=visible), CODEC).note.startswith('8 of 16 joints; mean error 1.0 px')


def test_what_is_wrong_with_a_caption_is_said():
    codec = CaptionPose((100, 100), missing='forbid')
    cell = prediction_cell(view('rankl:3,3 rankl:4,4 rknee:7,555 tail:1,2', codec), codec)
    assert not cell.sound and cell.given.sum() == 1
    for words in ('1 of 16 joints', 'repeated: rankl', 'out of range: rknee', 'unknown: tail', 'and 11 more'):
        assert words in cell.note


def test_captions_of_the_visibility_mark_the_labelled_joints():
    codec = CaptionPose((100, 100), style='visibility_text')
    cell = prediction_cell(view(codec.write(TRUTH, [1] * 6 + [0] * 10), codec), codec)
    assert cell.note == 'visibility right for 6 of 16' and cell.given.tolist() == [True] * 6 + [False] * 10
    np.testing.assert_array_equal(cell.points, TRUTH * [2, 1])


def draw(columns, views):
    figure = draw_captions(views, columns, META)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return figure, canvas.get_renderer()


def test_every_word_is_there_and_nothing_overlaps():
    views = [view(''), view('', width=100, height=160)]
    good, bad = CaptionCell(TRUTH, np.ones(16), CODEC.write(TRUTH)), CaptionCell(
        TRUTH, np.zeros(16), 'nonsense $x$ \n' * 200, note='not sound', sound=False)
    figure, renderer = draw({'ground truth': [good, good], 'epoch_1': [bad, good], 'epoch_2': [good, bad]}, views)
    assert [ax.get_title() for ax in figure.axes[:3]] == ['ground truth', 'epoch_1', 'epoch_2']
    label = figure.axes[0].xaxis.label
    assert label.get_text().split() == CODEC.write(TRUTH).split() and label.get_color() == 'black'
    cut = figure.axes[1].xaxis.label
    assert cut.get_color() != 'black' and cut.get_text().startswith('not sound\nnonsense $x$')
    assert cut.get_text().endswith('…') and len(cut.get_text()) < 800
    boxes = [ax.get_window_extent(renderer) for ax in figure.axes]
    boxes += [ax.xaxis.label.get_window_extent(renderer) for ax in figure.axes]
    for place, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and figure.bbox.y0 <= box.y0 + 2
        assert not any(box.overlaps(other) for other in boxes[place + 1:])


def test_points_that_the_caption_lacks_are_not_drawn_and_unsure_ones_are():
    given = np.zeros(16)
    blank, full = CaptionCell(TRUTH, given), CaptionCell(TRUTH, given + 1)
    figure, _ = draw({'a': [blank], 'b': [full]}, [view('', scores=0.01, width=100)])
    pictures = [np.asarray(ax.images[0].get_array()) for ax in figure.axes]
    assert (pictures[0] == 127).all() and not (pictures[1] == 127).all()


def test_points_at_the_border_do_not_widen_the_picture():
    corners = np.zeros((16, 2))
    corners[::2] = 99
    figure, _ = draw({'a': [CaptionCell(corners, np.ones(16))]}, [view('', width=100)])
    picture = np.asarray(figure.axes[0].images[0].get_array())
    assert picture.shape == (100, 100, 3) and (picture[40:60, 5:30] == 127).all()
    assert (picture[:2, :2] != 127).any() and (picture[-2:, -2:] != 127).any()
