import numpy as np
from drawn_models import plain_model

from clamp_mmpose.tools.cli import main


def draw(files, out, baseline, *options):
    return main(['visualize', *files, '--out', str(out), '--figure', 'comparison', '--baseline', *baseline, *options])


def test_both_models_see_the_same_instances_through_their_own_pipelines(files, tmp_path, monkeypatch, unpainted):
    seen = {}

    def remember(predictions, meta, *, areas, kpt_thr):
        seen.update(predictions=predictions, areas=areas, kpt_thr=kpt_thr)
        return real(predictions, meta, areas=areas, kpt_thr=kpt_thr)

    from clamp_mmpose import visualization
    real = visualization.draw_comparison
    monkeypatch.setattr(visualization, 'draw_comparison', remember)
    baseline = files('simple_4xb32-210e', size=96, **plain_model(96))
    assert draw(files(), tmp_path / 'out', baseline, '--num', '3', '--kpt-thr', '0.1') == 0
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['comparison.png']
    (first, others), (second, own) = seen['predictions'].items()
    assert first.startswith('baseline: simple\nmean OKS 0.') and second.startswith('model: config\nmean OKS 0.')
    assert [view.sample.id for view in others] == [view.sample.id for view in own]
    assert {view.sample.input_size for view in others} == {(96, 96)}
    assert {view.sample.input_size for view in own} == {(64, 64)}
    assert seen['kpt_thr'] == 0.1
    for other, view, area in zip(others, own, seen['areas']):
        np.testing.assert_array_equal(other.sample.gt_instances.keypoints, view.sample.gt_instances.keypoints)
        assert area == np.float32(view.sample.raw_ann_info['area'])


def test_the_data_of_the_baselines_config_need_not_be_there(files, tmp_path, unpainted):
    baseline = files('simple', **plain_model())
    config = tmp_path / 'simple.py'
    config.write_text(config.read_text().replace('ap10k-val-split1.json', 'nowhere.json'))
    assert draw(files(), tmp_path / 'out', baseline, '--num', '1') == 0


def test_a_baseline_for_other_keypoints_is_refused(files, tmp_path, capsys):
    baseline = files('people', dataset_type='CocoDataset', **plain_model())
    assert draw(files(), tmp_path / 'out', baseline) == 2
    error = capsys.readouterr().err
    assert 'people.py predicts other keypoints' in error and 'left wrist' in error and 'tail' in error


def test_a_baseline_that_is_not_there_is_named(files, tmp_path, capsys):
    assert draw(files(), tmp_path / 'out', (str(tmp_path / 'none.py'), 'none.pth')) == 2
    assert 'none.py' in capsys.readouterr().err


def test_images_without_labels_are_compared_too(files, tmp_path, toy_root):
    images = ['--images', str(toy_root / 'data'), '--num', '2']
    assert draw(files(), tmp_path / 'out', files('simple', **plain_model()), *images) == 0
    assert (tmp_path / 'out' / 'comparison.png').exists()
