"""The rows that the metafiles have, how they are chosen, and which splits their configs ask for."""
import re
from pathlib import Path

import pytest

from clamp_mmpose.tools.commands import find_config
from clamp_mmpose.tools.config_variant import load_variant
from clamp_mmpose.tools.reproduce.data import needs_of
from clamp_mmpose.tools.reproduce.rows import read_rows, read_toy_rows, select

ROWS, TOYS = read_rows('clamp'), read_toy_rows()

# Rows of each table in the paper that are SimpleBaseline or CLAMP; two of Table 6 and one of the supplement are ours.
COUNTS = {'1': 5, '2': 5, '3': 4, '4': 5, '5': 3, '6': 4 + 2, '7': 4, '8': 3, '9': 2, '10': 8, '11': 10,
          'supplement': 1 + 1}


def test_every_table_of_the_paper_has_its_rows_in_order():
    assert list(dict.fromkeys(row.table for row in ROWS)) == list(COUNTS)
    assert {table: sum(row.table == table for row in ROWS) for table in COUNTS} == COUNTS


def test_every_row_is_a_shipped_config():
    assert all(find_config(row.config).is_file() for row in (*ROWS, *TOYS))


@pytest.mark.parametrize('key, ap, ar', [
    # Each table's first and last rows, typed from the paper.
    ('Table 1, SimpleBaseline, ResNet-50, ImageNet', 70.2, 73.5), ('Table 1, CLAMP, ViT-Base', 74.3, 77.5),
    ('Table 2, SimpleBaseline, ResNet-50, ImageNet', 51.1, 56.3), ('Table 2, CLAMP, ViT-Base', 61.2, 65.2),
    ('Table 3, SimpleBaseline, Bovidae to Canidae', 41.3, 49.1), ('Table 3, CLAMP, Canidae to Felidae', 48.4, 55.1),
    ('Table 4, SimpleBaseline, ResNet-50, ImageNet', 68.7, 73.0), ('Table 4, CLAMP, ViT-Base', 74.3, 78.3),
    ('Table 6, no contrastive loss', 70.9, 74.1), ('Table 6, spatial and feature loss', 72.6, 75.8),
    ('Table 9, SimpleBaseline, ViT-Large', 76.9, 80.0), ('Table 9, CLAMP, ViT-Large', 77.8, 81.0),
    ('Table 10, SimpleBaseline, Bovidae to Equidae', 41.9, 46.6), ('Table 10, CLAMP, Canidae to Equidae', 28.4, 34.1),
    ('Table 8, CLAMP, ViT-Base, trainable matrix', 72.8, None), ('Table 11, SimpleBaseline, 1 % of COCO', 49.5, None),
    ('Table 11, CLAMP, 10 % of COCO', 62.7, None), ('Table 5, CLAMP, ViT-Large', 77.8, None),
])
def test_values_are_the_papers(key, ap, ar):
    (row, ) = [row for row in ROWS if row.key == key]
    assert (row.paper['AP'], row.paper.get('AR')) == (ap, ar)


def test_rows_of_the_same_config_in_tables_of_the_same_data_have_the_same_value():
    values = {}
    for row in ROWS:
        if isinstance(row.paper['AP'], float):
            values.setdefault(row.config, set()).add(row.paper['AP'])
    assert {config.stem: found for config, found in values.items() if len(found) > 1} == {}


@pytest.mark.parametrize('row', [row for row in ROWS if row.table in ('3', '10')], ids=lambda row: row.key)
def test_a_zero_shot_row_trains_and_tests_on_the_families_of_its_name(row):
    seen, unseen = re.search(r'(\w+) to (\w+)', row.name).groups()
    needs = needs_of(load_variant(find_config(row.config), {}))
    (command, ) = {split.command for split in needs.splits.values()}
    assert command[command.index('--train') + 1] == seen and command[command.index('--test') + 1] == unseen
    assert sorted(path.name for path in needs.splits) == [
        f'ap10k-train-split1_{seen.lower()}.json', f'ap10k-val-split1_{unseen.lower()}.json']


@pytest.mark.parametrize('row', [row for row in ROWS if row.table == '11'], ids=lambda row: row.key)
def test_a_share_of_coco_is_the_one_of_its_row(row):
    (split, ) = needs_of(load_variant(find_config(row.config), {})).splits.values()
    percent = re.match(r'.*, (\d+) %', row.key).group(1)
    assert split.command[2:] == ('fraction', '--ann', 'data/coco/annotations/person_keypoints_train2017.json',
                                 '--percent', percent, '--seeds', '0')
    assert split.sources == (Path('data/coco/annotations/person_keypoints_train2017.json'), )


def test_make_splits_understands_every_command_and_names_the_files_so(tmp_path):
    """The names and options here are a contract with another subcommand."""
    import argparse

    from clamp_mmpose.tools import make_splits
    parser = argparse.ArgumentParser()
    make_splits.add_arguments(parser)
    commands = {split.command for row in (*ROWS, *TOYS)
                for split in needs_of(load_variant(find_config(row.config), {})).splits.values()}
    assert len(commands) == 1 + 6 + 5 + 2  # few shots, pairs, shares, and those of toy animals
    for command in commands:
        parser.parse_args(command[2:])


def test_toy_rows_imitate_rows_of_the_paper_beside_a_baseline():
    assert {row.imitates for row in TOYS} <= {row.key for row in ROWS}
    for protocol in ('supervised', 'few-shot', 'zero-shot', 'ablation'):
        rows = [row for row in TOYS if row.table == protocol]
        assert [row.is_baseline for row in rows] == [True] + [False] * (len(rows) - 1) and len(rows) > 1


def test_rows_are_chosen_by_table_and_by_part_of_their_name():
    assert {row.table for row in select(ROWS, ['3', '10'], None)} == {'3', '10'}
    assert [row.key for row in select(ROWS, ['2'], ['vit-base'])] == [
        'Table 2, SimpleBaseline, ViT-Base, CLIP', 'Table 2, CLAMP, ViT-Base']
    assert {row.config.stem.split('_')[-1] for row in select(ROWS, None, ['canidae2'])} == {
        'ap10k-canidae2felidae-256x256', 'ap10k-canidae2cricetidae-256x256', 'ap10k-canidae2equidae-256x256'}


def test_a_name_that_is_a_rows_own_does_not_choose_longer_ones():
    assert [row.name for row in select(ROWS, ['6'], ['spatial loss'])] == ['spatial loss']
    assert len(select(ROWS, ['6'], ['spatial and'])) == 2
