"""The CSV, which has every metric, and where a number comes from."""
import csv

import pytest

from clamp_mmpose.tools.reproduce import origin


def records(path):
    with path.open(newline='', encoding='utf-8') as file:
        return {(row['table'], row['row'], row['metric']): row for row in csv.DictReader(file)}


def test_the_csv_has_every_metric_of_the_paper_and_of_the_test(launch, commands, tmp_path):
    commands.ap = lambda config, seed: (0.70 + 0.02 * seed, 0.65)
    assert launch('--table', '1', '--row', 'CLAMP, ResNet-50', '--seeds', '0', '1') == 0
    found = records(tmp_path / 'work' / 'table.csv')
    row = found['1', 'CLAMP, ResNet-50', 'AR']
    assert (row['paper'], row['ours'], row['least'], row['greatest']) == ('76.3', '81.0', '80.0', '82.0')
    assert (row['last epoch'], row['difference'], row['seeds']) == ('75.0', '4.7', '0 1')
    assert found['1', 'CLAMP, ResNet-50', 'AP50']['paper'] == '95.4'
    assert found['1', 'CLAMP, ResNet-50', 'AP50']['ours'] == ''
    # CocoMetric says -1 where no animal is of that size.
    assert found['1', 'CLAMP, ResNet-50', 'APM']['ours'] == ''
    assert found['6', 'spatial loss', 'AR']['paper'] == '75.3'


def test_words_and_absent_values_of_the_paper_have_no_difference(launch, commands, table):
    from clamp_mmpose.tools.reproduce.report import Line, Report
    from clamp_mmpose.tools.reproduce.rows import read_rows
    rows = read_rows('clamp')
    report = Report(rows, lambda row: [], lambda row: {}, paper=rows, words=['clamp-mmpose'])
    for key, paper in (('supplement, CLAMP, all of COCO', '0.4 above SimpleBaseline'),
                       ('Table 6, feature loss, prompt encoder', None)):
        (row, ) = [row for row in rows if row.key == key]
        line = Line(row, 'AP', row.paper['AP'], {0: 50.0}, {0: 50.0}, [])
        assert line.paper == paper and report._difference(line, [line]) is None


def test_out_names_the_page_and_its_csv(launch, commands, tmp_path, table):
    page = tmp_path / 'docs' / 'page.md'
    assert launch('--table', '1', '--row', 'CLAMP, ResNet-50', '--seeds', '0', '--out', str(page)) == 0
    assert table(page)['1', 'CLAMP, ResNet-50']['ours'] == '70.0' and page.with_suffix('.csv').exists()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    import subprocess
    package = tmp_path / 'checkout' / 'clamp_mmpose'
    package.mkdir(parents=True)
    (package / 'version.py').write_text("__version__ = '9.9'\n")
    monkeypatch.setattr(origin, 'PACKAGE', package)

    def git(*words):
        subprocess.run(['git', '-c', 'user.name=a', '-c', 'user.email=a@b', *words], cwd=package.parent, check=True,
                       capture_output=True)

    return package, git


def test_the_commit_is_the_checkouts_and_says_when_files_differ(repository):
    package, git = repository
    for words in (['init'], ['add', '.'], ['commit', '-m', 'first']):
        git(*words)
    commit = origin.code_version()
    assert len(commit) >= 7 and not commit.endswith('-dirty')
    (package / 'notes.txt').write_text('untracked')
    assert origin.code_version() == commit
    (package / 'version.py').write_text("__version__ = '9.10'\n")
    assert origin.code_version() == f'{commit}-dirty'


def test_an_installed_package_tells_its_version_even_inside_another_checkout(repository):
    import subprocess
    package, _ = repository
    subprocess.run(['git', 'init'], cwd=package.parent.parent, check=True, capture_output=True)
    assert origin.code_version() == '9.9'


def test_the_command_says_what_the_numbers_need_again(launch, commands, table):
    launch('--table', '1', '--row', 'CLAMP, ResNet-50', '--seeds', '0', '--cfg-options',
           'optim_wrapper.optimizer.lr=1e-3')
    assert table()['1', 'CLAMP, ResNet-50']['command'] == (
        '`clamp-mmpose reproduce clamp --cfg-options optim_wrapper.optimizer.lr=1e-3 --table 1 --row '
        "'CLAMP, ResNet-50' --seeds 0`")


def test_the_command_of_a_toy_says_its_budget():
    import argparse

    from clamp_mmpose.tools.reproduce import add_arguments
    from clamp_mmpose.tools.reproduce.campaign import Campaign
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    toy = Campaign(parser.parse_args(['clamp', '--toy', '--animals', '100'])).report.words
    assert toy == ['clamp-mmpose', 'reproduce', 'clamp', '--toy', '--pictures', '800', '--animals', '100']
    assert '--animals' not in Campaign(parser.parse_args(['clamp', '--animals', '100'])).report.words
