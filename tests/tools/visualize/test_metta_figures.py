"""`clamp-mmpose visualize` with a model that adapts, and with runs of tests that have been made."""
import csv

import cv2
import numpy as np
import pytest
import torch
from drawn_models import plain_model
from mmengine.config import Config
from mmengine.runner import Runner

from clamp_mmpose.testing import tiny_metta_model
from clamp_mmpose.tools.cli import main


@pytest.fixture
def metta(files):
    """Writes config and checkpoint of a tiny MeTTA model for 17 keypoints."""

    def write(name='metta', stage='joint', **changes):
        torch.manual_seed(0)
        return files(name, **tiny_metta_model(stage, num_keypoints=17, **changes))

    return write


def rows_of(path):
    with path.open(newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def visualize(config, out, *options):
    return main(['visualize', *config, '--out', str(out), '--num', '2', *options])


def test_what_is_painted_is_drawn_with_its_errors(metta, tmp_path):
    out = tmp_path / 'out'
    config = metta(head=dict(inpainting_size=(32, 40), num_maps=4))
    assert visualize(config, out, '--figure', 'inpainting', '--mask-sides', '0.4', '1', '--mean-over', '3') == 0
    assert {path.name for path in out.iterdir()} == {
        'inpainting_1.png', 'inpainting_2.png', 'inpainting_errors.png', 'inpainting.csv'}
    for path in out.glob('*.png'):
        assert cv2.imread(str(path)).std() > 10
    rows = rows_of(out / 'inpainting.csv')
    assert len(rows) == len({row['image'] for row in rows}) * 2 * 4 and len({row['image'] for row in rows}) == 3
    assert [row['patch'] for row in rows[:3]] == ['mean colour', 'with pose', 'without pose']
    assert rows[3]['patch'] == 'with another pose'
    assert {row['mask side'] for row in rows} == {'0.4', '1'} and all(float(row['error']) > 0 for row in rows)


@pytest.mark.parametrize('side', ['0', '-0.5', '1.01', 'nan'])
def test_a_patch_that_is_none_or_larger_than_the_image_is_refused(side, metta, tmp_path, capsys):
    assert visualize(metta(), tmp_path / 'out', '--figure', 'inpainting', '--mask-sides', '0.5', side) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f'visualize: error: --mask-sides {side} must be greater than 0 and at most 1, the whole image'


def test_steps_are_those_of_the_options_or_test_cfg_or_the_inner_loop(metta, tmp_path, unpainted, monkeypatch):
    from clamp_mmpose import visualization
    seen, trace = [], visualization.trace_adaptation
    monkeypatch.setattr(visualization, 'trace_adaptation',
                        lambda *args, **options: seen.append(options) or trace(*args, **options))
    adaptation = dict(steps=3, lr=1e-4, guard=False)
    inner = metta('inner', inner_loop=dict(steps=2, lr=3e-3))
    own = metta('own', inner_loop=dict(steps=2, lr=3e-3), test_cfg=dict(flip_test=False, adaptation=adaptation))
    for config, options, expected in (
            (inner, [], dict(steps=2, lr=None, guard=True)),
            (own, [], adaptation),
            (own, ['--steps', '1', '--lr', '0.5'], dict(steps=1, lr=0.5, guard=False)),
            (inner, ['--no-guard'], dict(steps=2, lr=None, guard=False))):
        assert visualize(config, tmp_path / 'out', '--figure', 'adaptation', *options) == 0
        assert seen[-1] == expected
        rows = rows_of(tmp_path / 'out' / 'adaptation.csv')
        assert len(rows) == 2 * 17 * (expected['steps'] + 1)
        assert {row['step'] for row in rows} == {str(step) for step in range(expected['steps'] + 1)}


@pytest.mark.parametrize('options, message', [
    (('--steps', '0'), '--steps 0 must be 1 or more'), (('--steps', '-1'), '--steps -1 must be 1 or more'),
    (('--lr', '0'), '--lr 0 must be greater than 0'), (('--lr', '-2'), '--lr -2 must be greater than 0'),
    (('--lr', 'nan'), '--lr nan must be greater than 0'), (('--lr', 'inf'), '--lr inf must be greater than 0'),
])
def test_steps_that_make_no_sense_are_refused(options, message, metta, tmp_path, capsys):
    assert visualize(metta(), tmp_path / 'out', '--figure', 'adaptation', *options) == 2
    assert message in capsys.readouterr().err and not (tmp_path / 'out').exists()


def test_images_of_ones_own_need_no_labels(metta, tmp_path, unpainted):
    for number, size in enumerate(((40, 80), (90, 30))):
        image = np.random.default_rng(number).integers(0, 255, (*size, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'{number}.png'), image)
    assert visualize(metta(), tmp_path / 'out', '--images', str(tmp_path), '--figure', 'inpainting', 'adaptation') == 0
    rows = rows_of(tmp_path / 'out' / 'adaptation.csv')
    assert {row['error'] for row in rows} == {''} and {row['image'] for row in rows} == {'0.png', '1.png'}
    assert len(rows_of(tmp_path / 'out' / 'inpainting.csv')) == 2 * 4 * 4
    one = ['--images', str(tmp_path / '0.png'), '--figure', 'inpainting', '--mask-sides', '0.5']
    assert visualize(metta(), tmp_path / 'out', *one) == 0  # there is no other pose
    assert len(rows_of(tmp_path / 'out' / 'inpainting.csv')) == 3


@pytest.mark.parametrize('figure, message', [
    ('inpainting', 'a head that inpaints, such as MeTTAHead; HeatmapHead has no resize'),
    ('adaptation', 'a model that adapts, MeTTAPoseEstimator; this is TopdownPoseEstimator, and its head HeatmapHead '
                   'lacks adaptable_parameters() and adaptation_loss()'),
])
def test_a_model_that_does_not_adapt_is_refused(figure, message, files, tmp_path, capsys):
    assert visualize(files(**plain_model()), tmp_path / 'out', '--figure', figure) == 2
    assert f'visualize: error: --figure {figure} needs {message}' in capsys.readouterr().err


def test_a_head_of_the_two_methods_alone_adapts_and_does_not_inpaint(metta, tmp_path, capsys, monkeypatch, unpainted):
    from clamp_mmpose.models import MeTTAHead
    config = metta()
    monkeypatch.delattr(MeTTAHead, 'resize')
    monkeypatch.delattr(MeTTAHead, 'prepare_adaptation')
    monkeypatch.setattr(MeTTAHead, 'adaptation_loss',
                        lambda self, feats, images: self.self_supervised_heatmaps(feats).square().mean((1, 2, 3)))
    assert visualize(config, tmp_path / 'out', '--figure', 'adaptation') == 0
    assert visualize(config, tmp_path / 'out', '--figure', 'inpainting') == 2
    assert 'MeTTAHead has no resize' in capsys.readouterr().err


def test_all_figures_of_a_model_that_adapts(metta, tmp_path, unpainted, capsys):
    assert visualize(metta(), tmp_path / 'out', '--figure', 'all', '--mean-over', '2') == 0
    drawn = {path.name for path in (tmp_path / 'out').iterdir()}
    assert {'poses.png', 'masking.png', 'inpainting_1.png', 'adaptation.png'} <= drawn
    assert 'adaptation-curve is left out: it needs --runs LABEL=PATH' in capsys.readouterr().err


@pytest.fixture
def tested(metta, tmp_path):
    """Runs a test with MeTTAHook, as mim does, and returns its work_dir."""

    def test(name, steps):
        config = Config.fromfile(metta()[0])
        loader = config.val_dataloader | dict(
            batch_size=2, num_workers=0, persistent_workers=False, sampler=dict(type='DefaultSampler', shuffle=False))
        loader['dataset'].pop('bbox_file')
        loader['dataset']['pipeline'].insert(3, dict(type='GenerateTarget', encoder=config.model.head.decoder))
        runner = Runner.from_cfg(Config(dict(
            model=config.model, work_dir=str(tmp_path / name), default_scope='mmpose', test_dataloader=loader,
            test_cfg=dict(), test_evaluator=[dict(type='PCKAccuracy'), dict(type='AUC')],
            experiment_name=str(tmp_path / name), log_level='WARNING',
            custom_hooks=[dict(type='MeTTAHook', steps=steps, lr=1e-3)])))
        return tmp_path / name, runner.test()

    return test


def test_the_curve_of_a_test_needs_no_model(tested, tmp_path, capsys):
    (joint, found), (meta, _) = tested('joint', 2), tested('meta', 1)
    out = tmp_path / 'out'
    runs = ['--runs', f'joint={joint}', f'meta={next(meta.glob("*/*.json"))}']
    assert main(['visualize', '--figure', 'adaptation-curve', *runs, '--out', str(out)]) == 0
    assert cv2.imread(str(out / 'adaptation_curve.png')).std() > 10
    rows = rows_of(out / 'adaptation_curve.csv')
    assert [(row['run'], row['metric'], row['step']) for row in rows] == [
        ('joint', 'PCK', '0'), ('joint', 'PCK', '1'), ('joint', 'PCK', '2'), ('meta', 'PCK', '0'), ('meta', 'PCK', '1')]
    assert [float(row['value']) for row in rows[:3]] == [found[f'adaptation/step_{step}/PCK'] for step in range(3)]
    assert all(row['file'].endswith('.json') for row in rows)
    # Without --figure too; the label is the folder's.
    assert main(['visualize', '--runs', str(joint), '--metrics', 'AUC', 'PCK', '--out', str(out)]) == 0
    rows = rows_of(out / 'adaptation_curve.csv')
    assert {row['run'] for row in rows} == {'joint'} and [row['metric'] for row in rows] == ['AUC'] * 3 + ['PCK'] * 3
    capsys.readouterr()
    assert main(['visualize', '--runs', f'a={joint}', '--metrics', 'coco/AP', '--out', str(out)]) == 2
    error = capsys.readouterr().err
    assert "metric 'coco/AP' is not in" in error and 'which has PCK, AUC' in error and error.count('\n') == 1


@pytest.mark.parametrize('arguments, message', [
    ([], 'CONFIG and CHECKPOINT are missing; only --figure adaptation-curve does without'),
    (['config.py'], 'CHECKPOINT is missing'),
    (['--figure', 'adaptation-curve'], '--figure adaptation-curve needs --runs LABEL=PATH'),
    (['--figure', 'poses', '--runs', 'a=.'], 'CONFIG and CHECKPOINT are missing'),
    (['--runs', 'a=none'], '--runs a=none: there is no file or folder none'),
    (['--runs', 'none'], '--runs none: there is no file or folder none'),
    (['--runs', 'a='], "--runs 'a=' must be LABEL=PATH"),
    (['--runs', '=b'], "--runs '=b' must be LABEL=PATH"),
    (['--runs', 'a=.'], 'has no run of mim test with MeTTAHook'),
])
def test_what_is_missing_is_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['visualize', '--out', 'out', *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith('visualize: error: ') and message in error and error.count('\n') == 1


def test_options_may_stand_between_config_and_checkpoint(files, tmp_path, unpainted):
    config, checkpoint = files(**plain_model())
    assert main(['visualize', config, '--out', str(tmp_path / 'out'), checkpoint, '--num', '1']) == 0
