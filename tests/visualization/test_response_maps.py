"""Fig. 7 of LOFR: the maps that are drawn, the keypoints read from them, and the numbers beside them."""
import csv
import io

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmengine.dataset import pseudo_collate
from mmpose.models import build_pose_estimator

from clamp_mmpose.evaluation.metrics import ResponseAtJointsMetric
from clamp_mmpose.testing import randomize, tiny_lofr_model
from clamp_mmpose.visualization import (
    RESPONSE_COLUMNS,
    draw_responses,
    missing_for_responses,
    response_table,
    responses_at_labels,
    view_responses,
)

NAMES = [f'point {index}' for index in range(17)]


@pytest.fixture
def model():
    return randomize(build_pose_estimator(tiny_lofr_model(num_keypoints=17))).eval()


def predict(model, dataset, index, **test_cfg):
    model.test_cfg = dict(output_heatmaps=True, **test_cfg)
    with torch.no_grad():
        return model.test_step(pseudo_collate([dataset[index]]))[0]


@pytest.mark.parametrize('flip_test', [False, True])
@pytest.mark.parametrize('source, side', [('response', 16), ('activation', 2)])
def test_maps_and_keypoints_are_those_of_the_models_test(model, dataset, source, side, flip_test):
    model.test_cfg = dict(flip_test=flip_test)
    view, other = view_responses(model, dataset, [2, 0], source)
    assert model.test_cfg == dict(flip_test=flip_test)
    sample = predict(model, dataset, 2, flip_test=flip_test, predict_from=source)
    assert view.heatmap.shape == (17, side, side)
    np.testing.assert_array_equal(view.heatmap, sample.pred_fields.heatmaps.numpy())
    np.testing.assert_allclose(view.predicted, view.to_crop(sample.pred_instances.keypoints[0]), atol=1e-3)
    np.testing.assert_array_equal(view.scores, sample.pred_instances.keypoint_scores[0])
    assert not np.array_equal(view.heatmap, other.heatmap)


def test_all_maps_are_there_where_a_test_gives_some_keypoints_alone(model, dataset):
    model.test_cfg = dict(output_keypoint_indices=[3, 5])
    view, = view_responses(model, dataset, [0])
    assert view.heatmap.shape[0] == len(view.predicted) == len(view.keypoints) == 17


def test_the_models_test_cfg_comes_back_after_a_failure(model, dataset):
    model.test_cfg = own = dict(flip_test=False)
    with pytest.raises(ValueError, match='predict_from'):
        view_responses(model, dataset, [0], 'nothing')
    assert model.test_cfg is own


def test_values_at_labels_are_those_of_the_metric(model, dataset):
    dataset.pipeline.transforms[-1].meta_keys += ('input_size', )
    view, = view_responses(model, dataset, [1])
    metric = ResponseAtJointsMetric(per_keypoint=True)
    metric.dataset_meta = dict(keypoint_id2name=dict(enumerate(NAMES)), num_keypoints=17)
    metric.process({}, [predict(model, dataset, 1).to_dict()])
    expected = metric.compute_metrics(metric.results)
    found = responses_at_labels(view)
    assert np.isfinite(found).any()
    np.testing.assert_allclose(found, [expected[name.replace(' ', '_')] if name.replace(' ', '_') in expected
                                       else expected[name] for name in NAMES], rtol=1e-6)


def test_a_row_per_keypoint_and_kind_of_map(model, dataset):
    kinds = {source: view_responses(model, dataset, [1], source)[0] for source in ('activation', 'response')}
    view = kinds['response']
    labelled, hidden = (int(np.flatnonzero((view.visible > 0) == flag)[0]) for flag in (True, False))
    text = io.StringIO()
    csv.writer(text).writerows([RESPONSE_COLUMNS, *response_table(kinds, [labelled, hidden], NAMES)])
    rows = list(csv.DictReader(text.getvalue().splitlines()))
    assert [(row['keypoint'], row['map']) for row in rows] == [
        (NAMES[index], kind) for index in (labelled, hidden) for kind in kinds]
    truth = view.sample.gt_instances.keypoints[0, labelled]
    assert [float(rows[1]['label x']), float(rows[1]['label y'])] == pytest.approx(truth, abs=0.01)
    found = kinds['activation'].sample.pred_instances.keypoints[0, labelled]
    assert [float(rows[0]['x']), float(rows[0]['y'])] == pytest.approx(found, abs=0.01)
    assert float(rows[1]['response at label']) == pytest.approx(responses_at_labels(view)[labelled], rel=1e-3)
    assert rows[2]['label x'] == rows[2]['response at label'] == ''


def drawn(view, keypoints=(3, ), **options):
    """Kinds of one view, and the axes with a picture."""
    figure = draw_responses(view if isinstance(view, dict) else {'response': view}, keypoints, NAMES,
                            dict(options.pop('meta', {})), **options)
    FigureCanvasAgg(figure).draw()
    return figure, [ax for ax in figure.axes if ax.get_visible() and ax.images]


@pytest.fixture
def view(model, dataset):
    """One whose map of keypoint 3 has a single cell, and whose label of keypoint 3 is known."""
    import dataclasses
    view, = view_responses(model, dataset, [1])
    maps = np.zeros((17, 8, 8), np.float32)
    maps[3, 2, 5] = 1e-3
    return dataclasses.replace(view, heatmap=maps, image=np.full_like(view.image, 90), visible=np.ones(17),
                               scores=np.full(17, 0.6))


@pytest.fixture
def meta(dataset):
    return dataset.metainfo


def test_a_cell_is_drawn_where_keypoints_are_read_from_it(view, meta):
    """On pixel 8 i of 64, whatever the size of the picture; resizing alone would move it by half a cell."""
    _, (_, ax) = drawn(view, meta=meta)
    picture = np.asarray(ax.images[0].get_array()).sum(-1)
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    height, width = view.image.shape[:2]
    assert abs(row - 2 / 8 * height) <= 1 and abs(column - 5 / 8 * width) <= 1


def test_kinds_stand_side_by_side_behind_the_poses(view, meta):
    figure, axes = drawn(dict(activation=view, baseline=view, response=view), [3, 5, 7], meta=meta)
    axes = axes[:12]
    assert [ax.get_title('right') for ax in axes] == ['activation', 'baseline', 'response'] * 4
    assert [ax.get_title('left') for ax in axes[::3]] == ['pose', 'point 3', 'point 5', 'point 7']
    assert {ax.get_title('left') for ax in axes[1::3] + axes[2::3]} == {''}
    assert view.name in figure._suptitle.get_text()


def markers(ax):
    return [line.get_marker() for line in ax.lines]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_label_and_prediction_are_marked_as_far_as_there_are_any(view, meta):
    import dataclasses
    values = dataclasses.replace(view, visible=np.where(np.arange(17) == 3, 0, 1))
    _, (_, with_label) = drawn(view, meta=meta)
    _, (_, without) = drawn(values, meta=meta)
    _, (_, unsure) = drawn(view, meta=meta, kpt_thr=0.7)
    assert markers(with_label) == ['o', 'o', 'x', 'x'] and markers(without) == ['x', 'x']
    assert markers(unsure) == ['o', 'o']
    assert texts(with_label)[0] == 'score 0.60' and texts(without)[1] == 'no label'


def test_a_map_without_response_is_dark(view, meta):
    _, (_, ax) = drawn(view, [4], meta=meta)
    picture = np.asarray(ax.images[0].get_array())
    assert picture.max() < 0.3 and texts(ax)[1] == '0.00'


def test_what_a_head_lacks_is_named(model):
    assert missing_for_responses(model.head) == []
    assert missing_for_responses(torch.nn.Linear(1, 1)) == ['read', 'activation_maps', 'part_decoder']
