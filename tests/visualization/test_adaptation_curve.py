"""Accuracy against steps, read from what MMEngine writes."""
import json

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from clamp_mmpose.visualization import choose_metrics, curve_table, draw_adaptation_curves, find_curve


def record(values, name='PCK', **others):
    return {f'adaptation/step_{step}/{name}': value for step, value in enumerate(values)} | {
        name: values[-1], 'adaptation/guarded': 0.1, 'adaptation/seconds_per_image': 0.02, 'time': 0.1} | others


def write(path, *records, compact=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(json.dumps(each, indent=None if compact else 2) for each in records))
    return path


@pytest.mark.parametrize('compact', [True, False])
def test_a_test_is_read_from_its_file(tmp_path, compact):
    path = write(tmp_path / 'any.json', record([0.5, 0.6, 0.7]) | record([3, 4, 5], 'coco/AP .5'), compact=compact)
    curve = find_curve(path, 'joint')
    assert curve.metrics == {'PCK': [0.5, 0.6, 0.7], 'coco/AP .5': [3, 4, 5]}
    assert (curve.path, curve.label) == (path, 'joint')


def test_ten_steps_and_more_are_in_their_order(tmp_path):
    curve = find_curve(write(tmp_path / 'a.json', dict(sorted(record(range(12)).items()))), 'x')
    assert curve.metrics['PCK'] == list(range(12))


def test_the_newest_test_of_a_folder_counts_and_others_are_passed_over(tmp_path):
    """Work_dir, or the folder of one run."""
    old = write(tmp_path / '20260101_000000' / '20260101_000000.json', record([1, 2]))
    new = write(tmp_path / '20260202_000000' / '20260202_000000.json', record([3, 4]))
    write(tmp_path / '20260303_000000' / '20260303_000000.json', dict(PCK=5))  # without the hook
    write(tmp_path / '20260303_000000' / 'vis_data' / 'config.json', record([6, 7]))
    (tmp_path / '20260303_000000' / 'vis_data' / '20260303_000000.json').write_text('{half a li')
    write(tmp_path / 'results.keypoints.json', [dict(image_id=1)])
    assert find_curve(tmp_path, 'x').path == new
    assert find_curve(old.parent, 'x').metrics == dict(PCK=[1, 2])


def test_of_a_training_the_last_validation_counts(tmp_path):
    """A line each, among those of the losses; a test of the same moment comes before it."""
    lines = [dict(loss=1.0), record([1, 2], step=1), dict(loss=0.5), record([2, 3], step=2), dict(loss=0.4)]
    path = write(tmp_path / '20260101_000000' / 'vis_data' / '20260101_000000.json', *lines)
    assert find_curve(tmp_path, 'x').metrics == dict(PCK=[2, 3])
    assert find_curve(path, 'x').metrics == dict(PCK=[2, 3])
    write(tmp_path / '20260101_000000' / '20260101_000000.json', record([8, 9]))
    assert find_curve(tmp_path, 'x').metrics == dict(PCK=[8, 9])


@pytest.mark.parametrize('text, message', [
    ('', 'has no key adaptation/step_0'), ('nothing', 'is no JSON'), ('{"PCK": 1}', 'has no key adaptation/step_0'),
    ('[1, 2]', 'has no key adaptation/step_0'), ('{"adaptation/guarded": 0.5}', 'has no key adaptation/step_0'),
])
def test_a_file_without_steps_is_refused(tmp_path, text, message):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(ValueError, match=message):
        find_curve(tmp_path / 'a.json', 'x')
    with pytest.raises(ValueError, match='no run of mim test with MeTTAHook'):
        find_curve(tmp_path, 'x')
    with pytest.raises(OSError):
        find_curve(tmp_path / 'b.json', 'x')


def curves(tmp_path, **runs):
    return [find_curve(write(tmp_path / f'{name}.json', *records), name.rstrip('_')) for name, records in runs.items()]


def test_the_first_metric_that_all_have_is_drawn_or_those_asked_for(tmp_path):
    both = record([1, 2], 'a') | record([1, 2], 'b')
    found = curves(tmp_path, one=[both], two=[record([3, 4], 'b') | record([1, 2], 'c')])
    assert choose_metrics(found, None) == ['b'] and choose_metrics(found[:1], None) == ['a']
    assert choose_metrics(found[:1], ['b', 'a', 'b']) == ['b', 'a']
    with pytest.raises(ValueError, match=r"metric 'c' is not in .*one\.json, which has a, b"):
        choose_metrics(found, ['b', 'c'])
    with pytest.raises(ValueError, match=r'no metric in common; .*one\.json has a, b; .*three\.json has c'):
        choose_metrics([found[0], *curves(tmp_path, three=[record([1], 'c')])], None)


def test_a_line_per_label_with_the_mean_of_its_runs(tmp_path):
    found = curves(tmp_path, joint=[record([0.5, 0.4, 0.3])], meta=[record([0.5, 0.6, 0.7])],
                   meta_=[record([0.3, 0.6, 0.8])])
    figure = draw_adaptation_curves(found, ['PCK'])
    FigureCanvasAgg(figure).draw()
    ax, = figure.axes
    assert ax.get_ylabel() == 'PCK'
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ['joint (-0.2)', 'meta, mean of 2 (+0.35)']
    thick = [line for line in ax.lines if line.get_label() in texts]
    np.testing.assert_allclose(thick[0].get_ydata(), [0.5, 0.4, 0.3])
    np.testing.assert_allclose(thick[1].get_ydata(), [0.4, 0.6, 0.75])
    assert len(ax.lines) == 4 and thick[1].get_color() != thick[0].get_color()
    rows = list(curve_table(found, ['PCK']))
    assert len(rows) == 9 and rows[4] == ['meta', tmp_path / 'meta.json', 'PCK', 1, '0.6']


def test_a_step_without_value_is_a_gap(tmp_path):
    values = record([0.1, 0.2, float('nan'), 0.4])
    del values['adaptation/step_1/PCK']
    found = curves(tmp_path, x=[values])
    np.testing.assert_array_equal(found[0].metrics['PCK'], [0.1, np.nan, np.nan, 0.4])
    assert [row[4] for row in curve_table(found, ['PCK'])] == ['0.1', '', '', '0.4']
    FigureCanvasAgg(draw_adaptation_curves(found, ['PCK'])).draw()
