"""Keypoints over the steps of adaptation: they are what the model predicts after so many steps."""
import copy

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmengine.dataset import pseudo_collate
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from clamp_mmpose.engine.adaptation import snapshot
from clamp_mmpose.models.pose_estimators import TestTimeAdaptation
from clamp_mmpose.visualization import adaptation_table, draw_adaptation, trace_adaptation

META = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/ap10k.py'))
NAMES = [*META['keypoint_id2name'].values()]
LR = 2e-4


def predict(model, dataset, index, **adaptation):
    model = copy.deepcopy(model)
    model.adaptation = TestTimeAdaptation(**adaptation) if adaptation else None
    with torch.no_grad():
        return model.test_step(pseudo_collate([dataset[index]]))[0]


def test_each_step_is_what_the_model_predicts_after_so_many(make_metta, dataset):
    model = make_metta()
    trace = trace_adaptation(model, dataset, 1, steps=3, lr=LR, guard=False)
    assert trace.points.shape == (4, 17, 2) and np.abs(trace.points[-1] - trace.points[0]).max() > 1
    for step in range(4):
        alone = predict(model, dataset, 1, steps=step, lr=LR, guard=False)
        np.testing.assert_allclose(trace.points[step], alone.pred_instances.keypoints[0], atol=1e-2)
        np.testing.assert_allclose(trace.scores[step], alone.pred_instances.keypoint_scores[0], atol=1e-3)
    plain = predict(model, dataset, 1)
    np.testing.assert_allclose(trace.points[0], plain.pred_instances.keypoints[0], atol=1e-2)
    inputs = model.data_preprocessor(pseudo_collate([dataset[1]]), False)['inputs']
    with torch.no_grad():
        loss = model.head.adaptation_loss(model.extract_feat(inputs), inputs)
    assert trace.losses[0] == pytest.approx(float(loss), rel=1e-4) and len(trace.losses) == 4


def test_the_model_is_left_as_it_was(make_metta, dataset):
    model = make_metta(test_cfg=dict(flip_test=False, adaptation=dict(steps=1)))
    before, adaptation = snapshot(model.state_dict()), model.adaptation
    trace_adaptation(model, dataset, 0, steps=2, lr=LR)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert model.adaptation is adaptation
    with pytest.raises(ValueError, match='steps=-1'):
        trace_adaptation(model, dataset, 0, steps=-1)
    assert model.adaptation is adaptation


def test_a_guarded_image_is_told_and_its_steps_are_drawn(make_metta, dataset):
    model = make_metta()
    trace = trace_adaptation(model, dataset, 2, steps=2, lr=0.03)  # too large
    assert trace.losses[-1] > trace.losses[0] and trace.guarded
    kept = predict(model, dataset, 2, steps=2, lr=0.03, guard=True)
    np.testing.assert_allclose(kept.pred_instances.keypoints[0], trace.points[0], atol=1e-2)
    assert np.abs(trace.points[-1] - trace.points[0]).max() > 1
    assert not trace_adaptation(model, dataset, 2, steps=2, lr=0.03, guard=False).guarded
    gentle = trace_adaptation(model, dataset, 2, steps=2, lr=1e-6)
    assert gentle.losses[-1] < gentle.losses[0] and not gentle.guarded
    figure = draw_adaptation([trace, gentle], META, kpt_thr=-1)
    FigureCanvasAgg(figure).draw()
    notes = [[text.get_text() for text in figure.axes[place].texts] for place in (2, 7)]
    assert notes == [['guarded: step 0 is kept'], []]


def test_errors_and_movement_are_in_input_pixels(make_metta, dataset):
    trace = trace_adaptation(make_metta(), dataset, 2, steps=2, lr=LR, guard=False)
    sample = trace.view.sample
    scale = np.array(sample.input_size) / sample.input_scale
    labels, visible = sample.gt_instances.keypoints[0], sample.gt_instances.keypoints_visible[0] > 0
    assert visible.any()
    for step in range(3):
        expected = np.hypot(*((trace.points[step] - labels) * scale).T)
        expected[~visible] = np.nan
        np.testing.assert_allclose(trace.error[step], expected, rtol=1e-4)
        np.testing.assert_allclose(trace.moved[step], np.hypot(*((trace.points[step] - trace.points[0]) * scale).T),
                                   rtol=1e-4, atol=1e-4)
    rows = list(adaptation_table([trace], NAMES))
    assert len(rows) == 3 * 17 and rows[17][:2] == [trace.view.name, 1] and rows[18][4] == NAMES[1]
    assert rows[20][5:7] == [f'{value:.5g}' for value in trace.points[1, 3]]
    hidden = np.flatnonzero(~visible)
    assert all(rows[17 + index][8] == '' for index in hidden)
    figure = draw_adaptation([trace], META, kpt_thr=-1)
    assert figure.axes[1].get_xlabel() == f'mean error {np.nanmean(trace.error[0]):.2f}'
    assert figure.axes[4].lines[0].get_ydata().tolist() == trace.losses.tolist()


def test_paths_have_the_colours_of_the_keypoints_and_low_scores_have_none(make_metta, dataset):
    trace = trace_adaptation(make_metta(), dataset, 0, steps=2, lr=LR, guard=False)
    median = float(np.median(trace.scores[0]))
    paths = draw_adaptation([trace], META, kpt_thr=median).axes[3].collections[1:]  # after the labels
    shown = np.flatnonzero(trace.scores[0] >= median)
    assert len(paths) == len(shown) < 17
    for index, path in zip(shown, paths):
        np.testing.assert_allclose(path.get_colors()[0][:3], META['keypoint_colors'][index] / 255)
        expected = [trace.view.to_crop(points)[index] for points in trace.points]
        np.testing.assert_allclose(path.get_segments()[0], expected, atol=1e-3)


@pytest.mark.filterwarnings('error::RuntimeWarning')
def test_steps_into_nothing_are_drawn_too(make_metta, dataset):
    trace = trace_adaptation(make_metta(), dataset, 0, steps=3, lr=1e30)
    assert trace.guarded and not np.isfinite(trace.losses[-1])
    FigureCanvasAgg(draw_adaptation([trace], META, kpt_thr=-1)).draw()
    assert len(list(adaptation_table([trace], NAMES))) == 4 * 17
