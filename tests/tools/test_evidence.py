"""`clamp-mmpose evidence`: the table, with trainings that take no time."""
import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from clamp_mmpose.tools import cli, evidence
from clamp_mmpose.tools.evidence import adaptation, captions, language
from clamp_mmpose.tools.evidence.page import write_section

SCORES = {'simplebaseline_tiny': (0.5, 0.7), 'denseclip_tiny': (0.6, 0.9)}


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(language, 'call', lambda *command: None)
    monkeypatch.setattr(
        language, '_train', lambda config, seed, args, data: (SCORES.get(config, (0.4, 0.4))[seed], 2.0))

    def run(*argv):
        parser = argparse.ArgumentParser()
        evidence.add_arguments(parser)
        out = tmp_path / 'evidence.md'
        options = ['--what', 'language', '--out', str(out), '--seeds', '0', '1', *argv]
        assert evidence.run(parser.parse_args(options)) == 0
        rows = [[cell.strip() for cell in line[1:-1].split('|')] for line in out.read_text().splitlines()
                if line.startswith('|')]
        return {row[5].strip('`'): row for row in rows[2:]}

    return run


def test_a_variant_is_compared_seed_by_seed_with_the_same_backbone_without_language(table):
    rows = table()
    assert rows['simplebaseline_tiny'][2:5] == ['0.600 (0.500 to 0.700)', '-', '2.0']
    assert rows['denseclip_tiny'][2:4] == ['0.750 (0.600 to 0.900)', '+0.150']
    assert rows['simplebaseline_tiny-resnet18'][3] == '-' and rows['denseclip_tiny-resnet18'][3] == '+0.000'


def test_without_its_baseline_a_variant_is_compared_with_nothing(table):
    rows = table('--only', 'denseclip')
    assert 'simplebaseline_tiny' not in rows and {row[3] for row in rows.values()} == {'-'}


def test_every_variant_is_a_shipped_config():
    for variants in language.VARIANTS.values():
        assert variants[0][0] == 'no language'
        for _, config in variants:
            assert Path(language.find_config(language.FOLDER / f'{config}{language.ENDING}')).is_file()


NAMES = ('right_ankle', 'right_knee', 'right_hip', 'left_hip', 'left_knee', 'left_ankle', 'pelvis', 'thorax',
         'upper_neck', 'head_top', 'right_wrist', 'right_elbow', 'right_shoulder', 'left_shoulder', 'left_elbow',
         'left_wrist')


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """The configs that were trained, and the lines of the page, with trainings that only write what they would log."""
    configs = {}

    def call(*command):
        if command[1] == 'make-toy-data':
            command[2].mkdir(parents=True, exist_ok=True)
            (command[2] / 'manifest.json').write_text(str(command))
        if command[0] != 'mim':
            return
        work_dir = command[-1]
        cfg = Config.fromfile(command[3])
        configs[work_dir.name] = cfg
        error = 12.8 if cfg.model.codec.get('joints') else 6.4
        row = {'caption/MAE': error, 'caption/exact': 1.0, 'caption/parse_rate': 1.0, 'step': cfg.train_cfg.max_epochs,
               **{f'caption/MAE/{name}': error / 2 for name in NAMES}}
        scalars = work_dir / 'run' / 'vis_data' / 'scalars.json'
        scalars.parent.mkdir(parents=True, exist_ok=True)
        scalars.write_text(json.dumps(row) + '\n')

    monkeypatch.setattr(captions, 'call', call)
    monkeypatch.setattr(captions, 'mean_pose_error', lambda cfg: 25.6)

    def run(*argv):
        parser = argparse.ArgumentParser()
        evidence.add_arguments(parser)
        out = tmp_path / 'page.md'
        options = ['--what', 'captions', '--out', str(out), '--seeds', '0', '1', '--work-dir', str(tmp_path / 'work'),
                   *argv]
        assert evidence.run(parser.parse_args(options)) == 0
        return out.read_text().splitlines()

    return configs, run


def test_captions_are_compared_with_one_joint_alone_in_shares_of_the_side(trained):
    configs, run = trained
    lines = run()
    assert 'By heart: 100% of 8 captions are exact after 600 steps on them.' in lines
    assert ('All joints: 5.0 % as the mean of the seeds. The mean pose of the people to learn from is 20.0 % away.'
            ) in lines
    assert '| lwri | 2.5 | 10.0 |' in lines and '| rknee | 2.5 | 10.0 |' in lines
    for joint in captions.JOINTS:
        cfg = configs[f'{joint}_seed0']
        codecs = [cfg.model.codec, cfg.val_evaluator[0].codec, cfg.train_dataloader.dataset.pipeline[4].encoder]
        assert [codec.joints for codec in codecs] == [[joint]] * 3
    by_heart = configs['by-heart']
    assert by_heart.val_dataloader.dataset.ann_file == by_heart.train_dataloader.dataset.ann_file
    assert 'RandomFlip' not in [step.type for step in by_heart.train_dataloader.dataset.pipeline]
    # The same steps for all that are compared.
    assert configs['rknee_seed0'].train_cfg.max_epochs == configs['all_seed0'].train_cfg.max_epochs == captions.EPOCHS


def test_what_is_trained_is_not_trained_again(trained):
    configs, run = trained
    before = run()
    configs.clear()
    assert run() == before and not configs


@pytest.mark.parametrize('change', [('--epochs', '3'), ('--train', '40')])
def test_other_data_or_another_recipe_is_another_training(trained, change):
    configs, run = trained
    run()
    everything = set(configs)
    configs.clear()
    run(*change)
    # What is learnt by heart has a length of its own.
    assert set(configs) == everything - ({'by-heart'} if change[0] == '--epochs' else set())


@pytest.fixture
def adapted(tmp_path, monkeypatch):
    """The configs of the trainings and tests, and the lines of the page, with runs that only write what they would."""
    configs = {}

    def call(*command):
        if command[1] == 'make-toy-data':
            command[2].mkdir(parents=True, exist_ok=True)
            (command[2] / 'manifest.json').write_text(str(command))
        if command[0] != 'mim':
            return
        cfg, work_dir = Config.fromfile(command[3]), command[-1]
        configs[work_dir.parent.name, work_dir.name] = cfg
        folder = work_dir / '20260101_000000'
        folder.mkdir(parents=True, exist_ok=True)
        if command[1] == 'train':
            (work_dir / 'last_checkpoint').write_text(str(work_dir / 'last.pth'))
            return
        steps = {f'adaptation/step_{step}/{adaptation.METRIC}': 0.5 + step / 100 for step in range(6)}
        metrics = steps if 'metta' in cfg.default_hooks else {adaptation.METRIC: 0.4}
        (folder / '20260101_000000.json').write_text(json.dumps(metrics))

    monkeypatch.setattr(adaptation, 'call', call)

    def run():
        parser = argparse.ArgumentParser()
        evidence.add_arguments(parser)
        out = tmp_path / 'page.md'
        options = ['--what', 'adaptation', '--out', str(out), '--seeds', '0', '1', '--work-dir', str(tmp_path / 'work')]
        assert evidence.run(parser.parse_args(options)) == 0
        return out.read_text().splitlines()

    return configs, run


def test_both_stages_and_a_control_are_tested_in_every_domain(adapted):
    configs, run = adapted
    lines = run()
    for domain in adaptation.DOMAINS:
        adapted_row = '50.0 | 51.0 | 52.0 | 53.0 | 54.0 | 55.0 | +5.0 (+5.0 to +5.0)'
        assert f'| {domain} | {adaptation.META_TRAINED} | {adapted_row} |' in lines
        assert f'| {domain} | {adaptation.WITHOUT_STEPS} | 40.0 | - | - | - | - | - | - |' in lines
    joint, meta, plain = (configs['seed1', name] for name in ('joint', 'meta', 'plain'))
    assert (joint.model.stage, meta.model.stage, plain.model.stage) == ('joint', 'meta', 'meta')
    assert meta.load_from == plain.load_from and meta.load_from.endswith('seed1/joint/last.pth')
    # The control differs in its steps alone.
    assert plain.model.inner_loop.steps == 0
    plain.model.inner_loop.steps = meta.model.inner_loop.steps
    assert plain.pretty_text == meta.pretty_text
    fog = configs['seed0', 'meta-stage-fog']
    assert fog.test_dataloader.dataset.data_root.endswith('toypeople-fog/')
    assert joint.train_dataloader.dataset.data_root.endswith('toypeople-default/')


def test_what_was_adapted_is_not_run_again(adapted):
    configs, run = adapted
    before = run()
    configs.clear()
    assert run() == before and not configs


def test_a_section_replaces_itself_and_leaves_the_others(tmp_path):
    path = tmp_path / 'page.md'
    write_section(path, 'One', ['old'])
    write_section(path, 'Two', ['text', '', '| a |'])
    write_section(path, 'One', ['new'])
    text = path.read_text()
    assert text.count('## ') == 2 and 'old' not in text and text.index('new') < text.index('| a |')


def test_the_mean_pose_is_that_of_the_people_to_learn_from(tmp_path):
    """Beside arithmetic on the annotation files: a box is scaled to the input."""
    data = tmp_path / 'toypeople'
    assert cli.main(['make-toy-data', str(data), '--kind', 'people', '--train', '24', '--val', '8']) == 0
    files = [data / 'annotations' / f'mpii_{part}.json' for part in ('train', 'val')]
    assert cli.main(['prepare-mpii-captions', *map(str, files)]) == 0
    args = argparse.Namespace(work_dir=tmp_path, epochs=None)
    poses = []
    for part in ('train', 'val'):
        records = json.loads((data / 'annotations' / f'mpii_captions_{part}.json').read_text())
        for record in records:
            side = 250 * record['scale']
            corner = np.add(record['center'], [0, 15 * record['scale']]) - 1 - side / 2
            poses.append((part, (np.array(record['joints']) - 1 - corner) * 128 / side))
    mean = np.mean([pose for part, pose in poses if part == 'train'], axis=0)
    unseen = [np.linalg.norm(pose - mean, axis=1).mean() for part, pose in poses if part == 'val']
    error = captions.mean_pose_error(captions.Runs(args, data).config(captions.CONFIG, 0))
    assert error == pytest.approx(np.mean(unseen), abs=0.01)
