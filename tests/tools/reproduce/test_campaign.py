"""`clamp-mmpose reproduce`: what it runs, in which order, and where it goes on; with commands that take no time."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clamp_mmpose.tools.reproduce import runs

CLAMP = 'clamp_rn50_4xb32-210e_ap10k-256x256'
CLAMP_ROW = ('--table', '1', '--row', 'CLAMP, ResNet-50')


def test_a_row_is_trained_and_tested_with_every_seed_and_written_beside_the_papers_value(launch, commands, table):
    commands.ap = lambda config, seed: (0.70 + 0.01 * seed, 0.69)
    assert launch(*CLAMP_ROW) == 0
    assert len(commands.of('train')) == 3 and len(commands.of('test')) == 6
    row = table()['1', 'CLAMP, ResNet-50']
    assert (row['paper'], row['ours'], row['difference']) == ('72.9', '71.0 (70.0 to 72.0; 3 seeds)', '-1.9')
    assert row['last epoch'].startswith('69.0') and row['commit'] == 'abc1234' and row['device'] == 'a machine'
    assert row['command'] == "`clamp-mmpose reproduce clamp --table 1 --row 'CLAMP, ResNet-50' --seeds 0 1 2`"


def test_the_config_that_is_run_has_the_seed_and_finds_its_data(launch, commands, ap10k):
    from mmengine.config import Config
    assert launch(*CLAMP_ROW, '--seeds', '5', '--cfg-options', 'train_dataloader.num_workers=8') == 0
    cfg = Config.fromfile(commands.of('train')[0][3])
    assert cfg.randomness.seed == 5 and cfg.train_dataloader.num_workers == 8
    dataset = cfg.train_dataloader.dataset
    assert Path(dataset.data_root, dataset.ann_file) == ap10k / 'ap10k' / 'annotations' / 'ap10k-train-split1.json'
    for part in ('val', 'test'):
        assert Path(cfg[f'{part}_dataloader'].dataset.data_root) == ap10k / 'ap10k'
        assert Path(cfg[f'{part}_evaluator'].ann_file).exists()
    assert '--auto-scale-lr' in commands.of('train')[0]


def test_several_gpus_train_by_the_launcher_of_pytorch(launch, commands):
    launch(*CLAMP_ROW, '--seeds', '0', '--gpus', '4')
    assert commands.of('train')[0][-4:] == ['--launcher', 'pytorch', '--gpus', '4']


def test_what_is_done_is_not_run_again_and_serves_every_table_that_has_it(launch, commands, table):
    launch(*CLAMP_ROW, '--seeds', '0')
    before = len(commands.calls)
    assert launch('--table', '5', '6', '--row', CLAMP, '--seeds', '0') == 0
    assert len(commands.calls) == before
    rows = table()
    for key in (('1', 'CLAMP, ResNet-50'), ('5', 'CLAMP, ResNet-50'),
                ('6', 'spatial and feature loss, prompt encoder'), ('7', 'CLAMP, ResNet-50')):
        assert rows[key]['ours'] == '70.0'
    assert rows['1', 'CLAMP, ViT-Base']['ours'] == 'not run'


def test_an_interrupted_training_goes_on_from_its_last_checkpoint(launch, commands, capsys, tmp_path):
    commands.interrupt = 120
    assert launch(*CLAMP_ROW, '--seeds', '0', '1') == 130
    assert 'goes on from here' in capsys.readouterr().err
    assert launch(*CLAMP_ROW, '--seeds', '0', '1', '--list') == 0
    assert '0 of 2 done; seed 0 was stopped at epoch 120 of 210' in capsys.readouterr().out
    assert launch(*CLAMP_ROW, '--seeds', '0', '1') == 0
    again, other = commands.of('train')[1:]
    # By its own path: last_checkpoint names the folder that it was written in.
    assert again[-2:] == ['--resume', str(tmp_path / 'work' / CLAMP / 'seed0' / 'epoch_120.pth')]
    assert '--resume' not in other


@pytest.mark.parametrize(('number', 'status'), [(signal.SIGTERM, 130), (signal.SIGHUP, 130)])
def test_a_scheduler_and_a_closed_terminal_interrupt_it_too(launch, commands, number, status):
    before = signal.getsignal(number)
    commands.interrupt, commands.signal = 120, number
    assert launch(*CLAMP_ROW, '--seeds', '0') == status
    assert signal.getsignal(number) is before


def test_it_outlives_its_terminal_under_nohup(launch, commands):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        commands.interrupt, commands.signal = 210, signal.SIGHUP
        assert launch(*CLAMP_ROW, '--seeds', '0') == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_best_is_the_best_of_all_checkpoints_that_a_resumed_training_left(launch, commands, table, tmp_path):
    commands.interrupt = 120
    launch(*CLAMP_ROW, '--seeds', '0')
    folder = tmp_path / 'work' / CLAMP / 'seed0'
    (folder / 'best_coco_AP_epoch_120.pth').touch()  # of the validation after the checkpoint that it goes on from
    commands.ap_at = {120: 0.71, 200: 0.70, 210: 0.69}
    launch(*CLAMP_ROW, '--seeds', '0')
    assert json.loads((folder / 'run.json').read_text())['results']['best']['epoch'] == 120
    row = table()['1', 'CLAMP, ResNet-50']
    assert (row['ours'], row['last epoch']) == ('71.0', '69.0')


def test_a_last_epoch_that_was_never_validated_may_be_the_best(launch, commands, table):
    commands.ap_at = {200: 0.70, 210: 0.72}
    launch(*CLAMP_ROW, '--seeds', '0')
    row = table()['1', 'CLAMP, ResNet-50']
    assert (row['ours'], row['last epoch']) == ('72.0', '72.0')


def test_a_run_keeps_few_checkpoints_but_as_many_as_its_config_says(launch, commands):
    from mmengine.config import Config
    launch(*CLAMP_ROW, '--seeds', '0')
    launch(*CLAMP_ROW, '--seeds', '1', '--cfg-options', 'default_hooks.checkpoint.max_keep_ckpts=5')
    kept = [Config.fromfile(words[3]).default_hooks.checkpoint.max_keep_ckpts for words in commands.of('train')]
    assert kept == [2, 5]


def test_a_training_that_is_over_is_only_tested(launch, commands):
    commands.broken = ('mim test', )
    assert launch(*CLAMP_ROW, '--seeds', '0') == 1
    commands.broken = ()
    assert launch(*CLAMP_ROW, '--seeds', '0') == 0
    assert len(commands.of('train')) == 1 and len(commands.of('test')) == 3


def test_a_run_that_fails_shows_its_log_and_does_not_stop_the_others(launch, commands, table, capsys):
    commands.broken = ('simplebaseline_resnet50', )
    assert launch('--table', '1', '--row', 'ImageNet', 'CLAMP, ResNet-50', '--seeds', '0') == 1
    captured = capsys.readouterr()
    assert 'the end of the log' in captured.out and 'failed: Table 1, SimpleBaseline, ResNet-50' in captured.err
    assert table()['1', 'CLAMP, ResNet-50']['ours'] == '70.0'
    assert table()['1', 'SimpleBaseline, ResNet-50, ImageNet']['ours'] == 'not run'
    launch('--table', '1', '--row', 'ImageNet', '--list', '--seeds', '0')
    assert 'seed 0 failed at epoch 0 of 210' in capsys.readouterr().out


def test_the_table_is_written_after_each_run(launch, commands, table):
    launch(*CLAMP_ROW, '--seeds', '0')
    commands.interrupt = 10
    assert launch(*CLAMP_ROW, '--row', 'CLAMP', '--seeds', '0') == 130
    assert table()['1', 'CLAMP, ResNet-50']['ours'] == '70.0' and table()['1', 'CLAMP, ViT-Base']['ours'] == 'not run'


def test_a_test_without_ap_fails_and_does_not_stop_the_others(launch, commands, table, capsys):
    commands.ap = lambda config, seed: (-1.0, -1.0) if 'resnet50' in config else (0.5, 0.5)
    assert launch('--table', '1', '--row', 'ImageNet', 'CLAMP, ResNet-50', '--seeds', '0') == 1
    assert 'has no AP' in capsys.readouterr().out
    assert table()['1', 'CLAMP, ResNet-50']['ours'] == '50.0'


@pytest.mark.parametrize('what', ['config', 'data'])
def test_a_change_is_noticed_and_not_mixed_with_what_was_trained(launch, commands, table, ap10k, capsys, what):
    launch(*CLAMP_ROW, '--seeds', '0')
    changed = ()
    if what == 'config':
        changed = ('--cfg-options', 'optim_wrapper.optimizer.lr=0.1')
    else:
        (ap10k / 'ap10k' / 'annotations' / 'ap10k-train-split1.json').write_text('{"annotations": []}')
    before = len(commands.calls)
    assert launch(*CLAMP_ROW, '--seeds', '0', *changed) == 1
    assert len(commands.calls) == before
    name = 'the config' if what == 'config' else 'ap10k-train-split1.json'
    assert f'not run: {name} changed' in capsys.readouterr().out
    assert table()['1', 'CLAMP, ResNet-50']['ours'] == 'not run'
    assert launch(*CLAMP_ROW, '--seeds', '0', *changed, '--restart') == 0
    assert 'set aside' in capsys.readouterr().out and '--resume' not in commands.of('train')[1]
    assert table()['1', 'CLAMP, ResNet-50']['ours'] == '70.0'


def test_data_that_has_moved_or_gone_is_no_change(launch, commands, table, ap10k):
    launch(*CLAMP_ROW, '--seeds', '0')
    ap10k.rename(ap10k.with_name('moved'))
    before = len(commands.calls)
    assert launch(*CLAMP_ROW, '--seeds', '0') == 0
    moved = ap10k.with_name('moved')
    assert launch(*CLAMP_ROW, '--seeds', '0', '--data-root', str(moved)) == 0
    assert len(commands.calls) == before and table()['1', 'CLAMP, ResNet-50']['ours'] == '70.0'


def test_each_seed_draws_its_own_few_shots(launch, commands, ap10k):
    assert launch('--table', '2', '--row', 'CLAMP, ResNet-50', '--seeds', '0', '3') == 0
    assert [words[words.index('--seed') + 1] for words in commands.of('make-splits')] == ['0', '3']
    files = [json.loads(path.read_text()) for path in sorted((ap10k / 'ap10k' / 'annotations').glob('*20shot*'))]
    assert [len(file['annotations']) for file in files] == [5, 8]
    trained = [Path(words[3]).read_text() for words in commands.of('train')]
    assert 'shot-seed0.json' in trained[0] and 'shot-seed3.json' in trained[1]


def test_an_unseen_family_is_split_off_by_one_command(launch, commands, ap10k):
    assert launch('--table', '3', '--row', 'CLAMP, Bovidae to Canidae', '--seeds', '0') == 0
    assert commands.of('make-splits') == [[
        'clamp-mmpose', 'make-splits', 'family', '--data-root', str(ap10k / 'ap10k'), '--split', '1', '--train',
        'Bovidae', '--test', 'Canidae', '--test-images', 'val']]


def test_a_split_that_make_splits_refuses_fails_the_run_before_it_is_trained(launch, commands):
    commands.broken = ('make-splits', )
    assert launch('--table', '3', '--row', 'CLAMP, Bovidae to Canidae', '--seeds', '0') == 1
    assert commands.of('train') == []


def test_rows_without_data_are_skipped_and_the_others_run(launch, commands, capsys):
    assert launch('--table', '1', '4', '--row', 'CLAMP, ResNet-50', '--seeds', '0') == 0
    out = capsys.readouterr().out
    assert 'skipped: there is no' in out and 'animalpose_train.json' in out
    assert len(commands.of('train')) == 1


def test_nothing_that_can_be_run_is_status_2_with_the_reasons(launch, commands, capsys):
    assert launch('--table', '11', '--row', '1 % of', '--seeds', '0') == 2
    error = capsys.readouterr().err
    assert 'nothing could be run' in error and 'person_keypoints_train2017.json' in error
    assert commands.calls == []


def test_table_7_needs_no_data(launch, commands, table, tmp_path):
    assert launch('--table', '7', '--row', 'SimpleBaseline, ResNet-50', '--data-root', str(tmp_path / 'none')) == 0
    rows = table()
    assert rows['7', 'SimpleBaseline, ResNet-50, CLIP, GFLOPs']['ours'] == '9.0'
    parameters = rows['7', 'SimpleBaseline, ResNet-50, CLIP, Parameters (M)']
    assert (parameters['ours'], parameters['difference']) == ('34.0', '-15.0')
    assert rows['7', 'SimpleBaseline, ResNet-50, CLIP']['ours'] == 'not run' and commands.calls == []


def test_a_run_that_another_process_has_is_left_to_it(launch, commands, tmp_path, capsys):
    run = runs.Run(Path('configs', 'clamp', f'{CLAMP}.py'), 0, runs.Setting(tmp_path / 'work', tmp_path))
    with run.locked() as mine:
        assert mine
        assert launch(*CLAMP_ROW, '--seeds', '0', '1') == 0
        assert 'another process is at' in capsys.readouterr().out
    assert len(commands.of('train')) == 1


def test_a_training_that_outlives_its_killed_reproduce_still_has_the_run(tmp_path):
    program = f"""
from pathlib import Path
from clamp_mmpose.tools.commands import call
from clamp_mmpose.tools.reproduce import runs
run = runs.Run(Path('configs', 'clamp', '{CLAMP}.py'), 0, runs.Setting(Path({str(tmp_path)!r}), Path()))
with run.locked():
    call('sh', '-c', 'echo $$ > {tmp_path}/pid; sleep 60', log=Path({str(tmp_path)!r}, 'log'))
"""
    process = subprocess.Popen([sys.executable, '-c', program])
    pid = tmp_path / 'pid'
    for _ in range(600):
        if pid.exists() and pid.read_text().strip():
            break
        time.sleep(0.1)
    process.kill()
    process.wait()
    run = runs.Run(Path('configs', 'clamp', f'{CLAMP}.py'), 0, runs.Setting(tmp_path, Path()))
    with run.locked() as mine:
        assert not mine
    os.killpg(int(pid.read_text()), signal.SIGKILL)
    for _ in range(100):
        with run.locked() as mine:
            if mine:
                break
        time.sleep(0.1)
    assert mine


def test_the_list_tells_what_is_there_what_is_made_and_what_is_missing(launch, commands, capsys):
    assert launch('--list', '--table', '3', '11', '--row', 'CLAMP, Bovidae to', '1 % of') == 0
    out = capsys.readouterr().out
    assert 'Table 3, CLAMP, Bovidae to Canidae: paper AP 46.9' in out
    for line in ('seeds    0 1 2: not run', 'to make', 'ap10k-val-split1_canidae.json', 'present',
                 'ap10k-train-split1.json', 'missing', 'person_keypoints_train2017.json',
                 'weights  openai for RN50-quickgelu'):
        assert line in out
    assert commands.calls == []


def test_the_list_of_a_toy_says_what_it_will_draw(launch, capsys):
    assert launch('--list', '--table', 'zero-shot', toy=True) == 0
    out = capsys.readouterr().out
    assert 'to draw' in out and 'missing' not in out


def test_archives_of_clip_are_read_from_a_folder(launch, commands, tmp_path, capsys):
    weights = tmp_path / 'clip'
    weights.mkdir()
    assert launch(*CLAMP_ROW, '--seeds', '0', '--clip-weights', str(weights)) == 2
    assert 'RN50.pt' in capsys.readouterr().err
    (weights / 'RN50.pt').touch()
    assert launch(*CLAMP_ROW, '--seeds', '0', '--clip-weights', str(weights)) == 0
    assert Path(commands.of('train')[0][3]).read_text().count(str(weights / 'RN50.pt')) == 2
    # Where they lie is no change.
    assert launch(*CLAMP_ROW, '--seeds', '0') == 0 and len(commands.of('train')) == 1


@pytest.mark.parametrize('argv, message', [
    (('--table', '12'), '--table 12: there are 1, 2, 3'),
    (('--row', 'unicorn'), "--row 'unicorn'"),
    (('--gpus', '0'), '--gpus 0'),
    (('--seeds', '-1'), '--seeds -1'),
    (('--cfg-options', 'lr'), '--cfg-options lr: must be KEY=VALUE'),
    (('--clip-weights', 'nowhere'), '--clip-weights nowhere'),
    (('--out', 'table.csv'), '--out table.csv'),
    (('--work-dir', f'{__file__}/work', *CLAMP_ROW), 'test_campaign.py/work'),
])
def test_wrong_arguments_are_one_line_and_status_2(launch, commands, capsys, argv, message):
    assert launch(*argv) == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1 and commands.calls == []


def test_the_toy_draws_its_pictures_and_gives_every_training_as_many_animals(launch, commands, monkeypatch, tmp_path):
    def draw(words):
        folder = Path(words[2])
        if not folder.exists():
            (folder / 'data').mkdir(parents=True)
            for part, count in (('train', 20), ('val', 5)):
                path = folder / 'annotations' / f'ap10k-{part}-split1.json'
                path.parent.mkdir(exist_ok=True)
                path.write_text(json.dumps({'annotations': [{}] * count}))

    original = type(commands).__call__

    def call(self, *command, log=None):
        original(self, *command, log=log)
        if command[1] == 'make-toy-data':
            draw([str(word) for word in command])

    monkeypatch.setattr(type(commands), '__call__', call)
    assert launch('--table', 'supervised', 'zero-shot', '--row', 'CLAMP', '--seeds', '0', '--animals', '100',
                  '--pictures', '16', toy=True) == 0
    assert commands.calls[0][-4:] == ['--train', '16', '--val', '4']
    epochs = {}
    for words in commands.of('train'):
        state = json.loads((Path(words[words.index('--work-dir') + 1]) / 'run.json').read_text())
        epochs['bovidae' in words[3]] = state['epochs']
    assert epochs == {False: 5, True: 25}  # of 20 and of 4 animals


def test_a_toy_is_compared_with_its_baseline_seed_by_seed(launch, commands, table, monkeypatch):
    test_the_toy_draws_its_pictures_and_gives_every_training_as_many_animals(launch, commands, monkeypatch, None)
    commands.ap = lambda config, seed: (0.5 + 0.1 * seed, 0.4) if 'simple' in config else (0.55 + 0.2 * seed, 0.5)
    assert launch('--table', 'few-shot', '--seeds', '0', '1', '--pictures', '16', '--animals', '100', toy=True) == 0
    rows = table()
    assert rows['few-shot', 'SimpleBaseline']['difference'] == rows['few-shot', 'SimpleBaseline']['paper'] == '-'
    assert rows['few-shot', 'CLAMP']['difference'] == '+10.0'  # the mean of 5 and 15
    assert rows['few-shot', 'CLAMP']['paper'] == '+2.2'  # 54.0 less 51.8 in Table 2


def test_the_makefile_writes_the_toy_page():
    makefile = (Path(__file__).parents[3] / 'Makefile').read_text()
    assert 'clamp-mmpose reproduce clamp --toy' in makefile and os.linesep in makefile
