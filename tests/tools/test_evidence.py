"""`clamp-mmpose evidence`: the table, with trainings that take no time."""
import argparse
from pathlib import Path

import pytest

from clamp_mmpose.tools import evidence

SCORES = {'simplebaseline_tiny': (0.5, 0.7), 'denseclip_tiny': (0.6, 0.9)}


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, 'call', lambda *command: None)
    monkeypatch.setattr(
        evidence, '_train', lambda config, seed, args, data: (SCORES.get(config, (0.4, 0.4))[seed], 2.0))

    def run(*argv):
        parser = argparse.ArgumentParser()
        evidence.add_arguments(parser)
        out = tmp_path / 'evidence.md'
        assert evidence.run(parser.parse_args(['--out', str(out), '--seeds', '0', '1', *argv])) == 0
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
    for variants in evidence.VARIANTS.values():
        assert variants[0][0] == 'no language'
        for _, config in variants:
            assert Path(evidence.find_config(evidence.FOLDER / f'{config}{evidence.ENDING}')).is_file()
