"""`clamp-mmpose bench --what captions`, on models that take milliseconds."""
import argparse
import functools
import re

import numpy as np
import pytest
import torch

from clamp_mmpose.models.layers.caption_decoding import decode_captions
from clamp_mmpose.tools import bench
from clamp_mmpose.tools.bench import captions, report
from clamp_mmpose.tools.bench.subject import Setting

pytest.importorskip('transformers')
TOWER = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
TINY = functools.partial(
    captions.CaptionSubject, blip=dict(vision_config=dict(TOWER, patch_size=96), text_config=TOWER))
CONFIG = f'configs/{captions.CONFIG}'


@pytest.fixture(scope='module')
def subject():
    return TINY(CONFIG, 'cpu')


def test_the_vocabulary_splits_captions_as_that_of_blip_does(subject):
    words = captions.bert_words()
    assert len(words) == len(set(words)) == 30524 == subject.model.blip.config.text_config.vocab_size
    tokenizer = subject.model.architecture.tokenizer
    names = {name: len(tokenizer.tokenize(name)) for name in subject.model.codec.names}
    assert sum(names.values()) == 37 and names['rknee'] == names['lankl'] == names['upper_neck'] == 3
    numbers = [len(tokenizer.tokenize(str(number))) for number in range(384)]
    assert (numbers.count(1), numbers.count(2)) == (358, 26)


@pytest.mark.parametrize('mode', ['constrained', 'greedy'])
def test_both_ways_write_what_they_are_told(subject, mode):
    outputs = [call() for key, call in subject.calls(3, Setting()).items() if key == mode]
    decoded = subject.model.codec.decode(outputs[0].captions)
    assert all(report.ok for report in decoded.report) and decoded.valid.all()
    assert len({*outputs[0].captions}) == 3
    for points, row in zip(decoded.keypoints, outputs[0].token_ids):
        # Pieces of names, punctuation, numbers.
        assert len(row) == 37 + 32 + 32 + np.isin(points, [*captions._SPLIT_NUMBERS]).sum()


def test_without_dictation_the_model_writes_something_else(subject):
    decoder = subject.model.blip.text_decoder
    embeds = torch.zeros(1, 2, 32)
    options = dict(grammar=subject.model.grammar, mode='greedy', max_new_tokens=4)
    with captions.dictated(decoder, [[7, 8]]):
        assert decode_captions(decoder, embeds, **options).token_ids[0].tolist() == [7, 8]
    assert decode_captions(decoder, embeds, **options).token_ids[0].tolist() != [7, 8]


def test_a_row_counts_tokens_and_calls_of_a_batch(subject):
    row, = captions.time_captions(subject, repeats=2, batch_sizes=[2], settings=[Setting()])
    assert 2 * 102 <= row.tokens <= 2 * row.greedy_calls and row.constrained_calls * 2 < row.greedy_calls
    assert row.ratio.low <= row.ratio.median <= row.ratio.high
    assert min(row.image, row.constrained, row.greedy) > 0


def test_captions_that_differ_are_not_compared(subject, monkeypatch):
    calls = subject.calls(1, Setting())
    other = calls['greedy']()._replace(token_ids=[torch.tensor([1])])
    monkeypatch.setattr(subject, 'calls', lambda *_: dict(calls, greedy=lambda: other))
    with pytest.raises(RuntimeError, match='different captions'):
        list(captions.time_captions(subject, repeats=1, batch_sizes=[1], settings=[Setting()]))


def test_the_page_keeps_what_was_measured_before(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, 'CaptionSubject', TINY)
    out = tmp_path / 'page.md'
    report.write_section(out, 'cpu', '## CPU\n\nolder numbers\n')
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    arguments = ['--what', 'captions', '--repeats', '1', '--batch-sizes', '1', '--out', str(out), '--threads', '1']
    report.write_section(out, 'captions-cpu', '## Captions on the CPU\n\nto be replaced\n')
    assert bench.run(parser.parse_args(arguments)) == 0
    page = out.read_text()
    assert page.count('older numbers') == page.count('# Benchmarks') == 1 and page.count('`not run`') == 4
    section = page[page.index('## Captions on the CPU'):page.index('## Captions on the GPU')]
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in section.splitlines() if line.startswith('|')]
    assert len({len(row) for row in rows}) == 1 and [row[0] for row in rows[2:]] == ['1'] and 'replaced' not in page
    assert all(re.fullmatch(r'\d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)', row[5]) for row in rows[2:])
    assert '--what captions' in section and 'transformers' in section


def test_without_transformers_the_pip_line_is_named(tmp_path, monkeypatch, capsys):
    import sys
    monkeypatch.setitem(sys.modules, 'transformers', None)
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    assert bench.run(parser.parse_args(['--what', 'captions', '--out', str(tmp_path / 'page.md')])) == 1
    assert "clamp-mmpose[blip]" in capsys.readouterr().err
