"""`clamp-mmpose bench`: the real measurements, on models that take milliseconds."""
import argparse
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from clamp_mmpose.testing import tiny_clamp_model
from clamp_mmpose.tools import bench
from clamp_mmpose.tools.bench import memory, report, subject, timing

CODEC = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5)
OPTIM_WRAPPER = dict(optimizer=dict(type='AdamW', lr=5e-4))


@pytest.fixture(scope='module')
def configs(tmp_path_factory):
    """A tiny CLAMP and the tiny SimpleBaseline on its backbone, as files."""
    folder = tmp_path_factory.mktemp('configs')
    ours = tiny_clamp_model(codec=CODEC)
    baseline = tiny_clamp_model(codec=CODEC, with_embedding=False)
    channels = baseline['head']['in_channels'] - baseline['head']['out_channels']
    baseline['neck'] = None
    baseline['head'] = dict(
        type='HeatmapHead', in_channels=channels, out_channels=5, deconv_out_channels=(16, 16),
        deconv_kernel_sizes=(4, 4), loss=dict(type='KeypointMSELoss', use_target_weight=True), decoder=CODEC)
    ours['backbone']['init_cfg'] = dict(type='CLIPPretrained', checkpoint='/not/there.pt')
    paths = []
    for name, model in (('clamp', ours), ('baseline', baseline)):
        paths.append(folder / f'{name}.py')
        Config(dict(
            custom_imports=dict(imports=['clamp_mmpose'], allow_failed_imports=False),
            codec=CODEC, model=model, optim_wrapper=OPTIM_WRAPPER)).dump(paths[-1])
    return [str(path) for path in paths]


def run(*arguments):
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    return bench.run(parser.parse_args([str(argument) for argument in arguments]))


def tables(page):
    """Each table of the page as a list of rows, the header first."""
    blocks = re.findall(r'(?:^\|.*\|\n)+', page, re.M)
    return [[[cell.strip() for cell in line[1:-1].split('|')] for line in block.splitlines()] for block in blocks]


def test_the_page_has_a_row_for_every_case(configs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, 'measure_memory', memory._measure_here)  # a process for each takes its time to start
    out = tmp_path / 'docs' / 'benchmarks.md'
    assert run('--out', out, '--repeats', 2, '--batch-sizes', 1, 2, '--threads', 1, '--pair', 'tiny', *configs) == 0
    page = out.read_text()
    times, weights = tables(page)
    for table in (times, weights):
        assert {len(row) for row in table} == {len(table[0])}
        assert sorted((row[1], row[3]) for row in table[2:]) == sorted(
            (task, batch) for task in (subject.INFERENCE, subject.FUSED, subject.TRAINING) for batch in '12')
    for row in times[2:]:
        median, low, high = (float(number) for number in re.findall(r'[\d.]+', row[7]))
        assert 0 < low <= median <= high
        assert all(float(cell.removesuffix(' ms')) > 0 for cell in row[5:7])
    assert all(float(row[-1]) > 1 for row in weights[2:] if row[1] != subject.FUSED)  # the text tower
    assert f'torch {torch.__version__.partition("+")[0]}' in page
    assert '## GPU\n\n`not run`' in page
    assert 'given, tiny, training step, batch 2, float32: ' in capsys.readouterr().out


def test_quick_measures_batch_1_in_three_rounds(configs, tmp_path, monkeypatch):
    asked = []

    def note(calls, rounds, **kwargs):
        asked.append(rounds)
        return {name: [1.0] for name in calls}

    monkeypatch.setattr(bench, 'interleave', note)
    monkeypatch.setattr(bench, 'measure_memory', lambda *args, **kwargs: memory.Memory(1, 1))
    out = tmp_path / 'page.md'
    assert run('--quick', '--out', out, '--pair', 'tiny', *configs) == 0
    assert asked == [3, 3]
    assert {row[3] for row in tables(out.read_text())[0][2:]} == {'1'}


def test_shipped_pairs_exist_and_have_goals():
    for name, methods, baseline in bench._shipped_groups():
        assert all(Path(config).is_file() for config in (*methods.values(), baseline))
        for task in (subject.INFERENCE, subject.TRAINING):
            for batch_size in (1, 8):
                assert 1 < report.GOALS[task][name, batch_size] < report.RELEASED[task][name, batch_size]


def test_no_cuda_device_is_said_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    out = tmp_path / 'page.md'
    assert run('--device', 'cuda', '--out', out) == 1
    assert 'no CUDA device' in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize('option', ['--repeats', '--threads', '--batch-sizes'])
def test_numbers_below_one_are_refused(option, tmp_path, capsys):
    assert run(option, 0, '--out', tmp_path / 'page.md') == 1
    assert option in capsys.readouterr().err


def test_calls_take_turns_and_warm_up_is_not_counted():
    order = []
    seconds = timing.interleave({name: lambda name=name: order.append(name) for name in 'AB'}, 3)
    assert ''.join(order) == 'AABB' + 'ABBAAB'
    assert {name: len(values) for name, values in seconds.items()} == dict(A=3, B=3)


def test_a_ratio_pairs_the_calls_of_one_round():
    # the machine halves its speed in the second round
    assert timing.compare([1.1, 2.2, 1.2], [1.0, 2.0, 1.0]) == pytest.approx((1.1, 1.1, 1.2))


def test_both_models_compute_the_embedding(configs):
    for config in configs:
        backbone = subject.Subject(config, subject.INFERENCE, 'cpu').model.backbone
        assert backbone(torch.zeros(1, 3, 64, 64)).dense is not None


def test_a_training_step_moves_the_weights_and_a_prediction_does_not(configs):
    for config in configs:
        for task in (subject.TRAINING, subject.INFERENCE):
            case = subject.Subject(config, task, 'cpu')
            before = case.model.head.final_layer.weight.clone()
            case.step(1)()
            moved = not torch.equal(before, case.model.head.final_layer.weight)
            assert moved == (task == subject.TRAINING)


def test_fusing_drops_the_text_tower(configs):
    assert subject.Subject(configs[0], subject.FUSED, 'cpu').model.neck.prompts.text_encoder is None


def test_bf16_reaches_the_model_and_leaves_the_heatmaps_to_numpy(configs):
    for config in configs:
        for task in (subject.INFERENCE, subject.TRAINING):
            case = subject.Subject(config, task, 'cpu')
            dtypes = []
            case.model.head.deconv_layers.register_forward_hook(lambda *args, seen=dtypes: seen.append(args[2].dtype))
            case.step(1, subject.Setting(bf16=True))()
            assert set(dtypes) == {torch.bfloat16}


def test_a_training_step_holds_gradients_and_two_moments(configs):
    measured = memory.measure_memory(configs[0], subject.TRAINING, 1, device='cpu', bf16=False, threads=1)
    model = subject.Subject(configs[0], subject.TRAINING, 'cpu').model
    assert measured.model == sum(tensor.nbytes for tensor in [*model.parameters(), *model.buffers()])
    assert measured.steps > 3 * sum(tensor.nbytes for tensor in model.parameters() if tensor.requires_grad)


def test_a_failed_memory_case_names_itself(tmp_path):
    with pytest.raises(RuntimeError, match=r'absent\.py'):
        memory.measure_memory(str(tmp_path / 'absent.py'), subject.INFERENCE, 1, device='cpu', bf16=False, threads=1)


def test_writing_one_device_keeps_the_other(tmp_path):
    out = Path(tmp_path, 'page.md')
    ratio = timing.Ratio(1.5, 1.25, 1.75)
    row = report.TimingRow('CLAMP', subject.INFERENCE, 'RN50', 1, 'float32', 0.3, 0.2, ratio)
    report.write_section(out, 'cuda', report.make_section('cuda', ['a card'], [row], []))
    report.write_section(out, 'cpu', report.make_section('cpu', ['an old chip'], [row], []))
    report.write_section(out, 'cpu', report.make_section('cpu', ['a chip'], [row], []))
    page = out.read_text()
    assert 'a card' in page and 'a chip' in page and 'old' not in page
    assert page.count('# Benchmarks') == 1
    cpu, gpu = tables(page)
    assert cpu[2][-3:] == ['1.50 (1.25 to 1.75)', '<= 1.15', '2.47']
    assert gpu[2][-1] == '1.50 (1.25 to 1.75)'


def test_a_config_that_is_not_there_is_named(configs, tmp_path, capsys):
    assert run('--pair', 'tiny', configs[0], 'nowhere.py', '--out', tmp_path / 'page.md') == 1
    assert 'there is no file nowhere.py' in capsys.readouterr().err
