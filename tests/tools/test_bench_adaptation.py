"""`clamp-mmpose bench --what adaptation`, on a model that takes milliseconds."""
import argparse
import functools
import re

import numpy as np
import pytest
import torch

from clamp_mmpose.testing import calibrate_norms, randomize, tiny_metta_model
from clamp_mmpose.tools import bench
from clamp_mmpose.tools.bench import adaptation, report

MODEL = tiny_metta_model()
HEAD = {key: value for key, value in MODEL['head'].items() if key not in ('type', 'decoder', 'out_channels')}
TINY = functools.partial(adaptation.AdaptationSubject, backbone=MODEL['backbone'], head=HEAD)
WAYS = ['plain', 'adapted', 'alone', 'loop', 'whole', 'dense', 'half']


@pytest.fixture
def subject(monkeypatch):
    """Its weights are such that a few steps move the keypoints."""
    subject = TINY(64, 5, 'cpu')
    build = subject._build

    def build_random(stage):
        model = randomize(build(stage)).double().eval()  # steps enlarge what is rounded
        images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return calibrate_norms(model, lambda: model.head.adaptation_loss(model.extract_feat(images), images))

    monkeypatch.setattr(subject, '_build', build_random)
    return subject


def test_all_ways_but_the_smaller_image_predict_the_same(subject):
    test_cfg = dict(flip_test=False, output_heatmaps=True)
    subject.config['test_cfg'] = dict(test_cfg, adaptation=dict(steps=adaptation.STEPS, guard=False))
    build = subject._build
    subject._build = lambda stage: _without_adaptation(build(stage)) if stage == 'joint' else build(stage)
    subject.config['inner_loop']['lr'] = 1e-5
    calls = subject.predictions(3)
    assert list(calls) == WAYS
    maps = {}
    for name, call in calls.items():
        samples = [sample for batch in call() for sample in batch]
        assert len(samples) == 3 and samples[0].pred_instances.keypoints.shape == (1, 5, 2)
        maps[name] = np.stack([sample.pred_fields.heatmaps for sample in samples])
    size = np.abs(maps['adapted']).max()
    for name in ('alone', 'loop', 'whole', 'dense'):
        np.testing.assert_allclose(maps[name], maps['adapted'], rtol=0, atol=1e-5 * size, err_msg=name)
    for name in ('plain', 'half'):
        assert np.abs(maps[name] - maps['adapted']).max() > 1e-3 * size, name


def _without_adaptation(model):
    model.adaptation = None
    return model


def test_what_is_saved_is_counted():
    subject = TINY(64, 5, 'cpu')
    counts = {name: adaptation.count_operations(call)
              for name, call in {**subject.predictions(1), **subject.training_steps(1)}.items()}
    assert counts['plain'] < counts['half'] < counts['adapted'] == counts['alone']
    assert counts['adapted'] < counts['dense'] and counts['adapted'] < counts['whole'] < counts['loop']
    assert counts['first'] < counts['second']


def test_a_loop_leaves_the_model_as_it_was(subject):
    call = subject.predictions(1)['loop']
    first, second = (call()[0][0].pred_instances.keypoints for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_page_has_a_row_for_each_comparison(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, 'AdaptationSubject', TINY)
    monkeypatch.setattr(bench, 'CASES', [case._replace(size=64) for case in adaptation.CASES])
    out = tmp_path / 'page.md'
    report.write_section(out, 'cpu', '## CPU\n\nolder numbers\n')
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    arguments = ['--what', 'adaptation', '--repeats', '2', '--batch-sizes', '1', '2', '--out', str(out)]
    assert bench.run(parser.parse_args([*arguments, '--threads', '1'])) == 0
    page = out.read_text()
    assert page.count('older numbers') == page.count('# Benchmarks') == 1
    section = page[page.index('## Adaptation on the CPU'):page.index('## Adaptation on the GPU')]
    header, _, *rows = [[cell.strip() for cell in line.split('|')[1:-1]]
                        for line in section.splitlines() if line.startswith('|')]
    assert [row[2] for row in rows] == [comparison.what for case in adaptation.CASES
                                        for comparison in case.comparisons]
    assert {len(row) for row in rows} == {len(header)} and {row[1] for row in rows} == {'2'}
    for row in rows:
        assert re.fullmatch(r'\d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)', row[5])
        measured, counted = float(row[5].split()[0]), float(row[8])
        assert float(row[9]) == pytest.approx(measured / counted, rel=0.05, abs=0.02)
    assert '--what adaptation' in section and '`not run`' not in section
    assert capsys.readouterr().out.count('MeTTA, ') == len(rows)
