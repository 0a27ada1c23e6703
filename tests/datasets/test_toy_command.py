"""The subcommand `make-toy-data`."""
import argparse
import json

import pytest

from clamp_mmpose.tools import make_toy_data


@pytest.fixture
def command():
    parser = argparse.ArgumentParser()
    make_toy_data.add_arguments(parser)
    return lambda *argv: make_toy_data.run(parser.parse_args([str(value) for value in argv]))


def test_draws_shows_progress_and_says_where_the_annotations_are(command, tmp_path, capsys):
    assert command(tmp_path, '--kind', 'people', '--train', 2, '--val', 1, '--seed', 5, '--domain', 'fog') == 0
    printed = capsys.readouterr()
    assert '3 pictures' in printed.out and 'annotations/mpii_train.json' in printed.out
    assert 'train people: 100%' in printed.err
    arguments = json.loads((tmp_path / 'manifest.json').read_text())['arguments']
    assert arguments == dict(kind='people', train=2, val=1, seed=5, domain='fog')


def test_second_run_has_nothing_to_do(command, tmp_path, capsys):
    for _ in range(2):
        assert command(tmp_path, '--train', 2, '--val', 1) == 0
    assert 'already there, nothing to do' in capsys.readouterr().out


def test_says_which_toy_data_it_replaces(command, tmp_path, capsys):
    assert command(tmp_path, '--train', 1, '--val', 1) == 0
    assert 'replaces' not in capsys.readouterr().out
    assert command(tmp_path, '--kind', 'people', '--train', 1, '--val', 1) == 0
    assert 'replaces earlier toy data (kind animals -> people)' in capsys.readouterr().out


@pytest.mark.parametrize('argv, message', [
    (['--kind', 'plants'], "kind='plants' is not known: choose one of animals, people"),
    (['--domain', 'mars'], "domain='mars' is not known"),
    (['--train', 0], 'train=0 must be between 1 and'),
])
def test_bad_argument_is_one_line_and_status_2(command, tmp_path, capsys, argv, message):
    assert command(tmp_path / 'out', *argv) == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1


def test_foreign_folder_is_one_line_and_status_2(command, tmp_path, capsys):
    (tmp_path / 'thesis.txt').write_text('years of work')
    assert command(tmp_path) == 2
    error = capsys.readouterr().err
    assert 'give a new or empty folder' in error and error.count('\n') == 1
