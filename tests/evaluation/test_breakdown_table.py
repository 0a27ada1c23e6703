import csv
import io

import numpy as np

from clamp_mmpose.evaluation.breakdown import BreakdownRow, Estimate
from clamp_mmpose.evaluation.breakdown_table import format_table, to_csv

NONE = dict.fromkeys(('AP', 'AR', 'PCK'), Estimate(np.nan))
SOME = dict(AP=Estimate(0.5, 0.4567, 0.6), AR=Estimate(1 / 3, 0.3, 0.4), PCK=Estimate(1.0, 1.0, 1.0))
ROWS = [BreakdownRow('all', '', 10, 12, SOME), BreakdownRow('species', 'argali, sheep', 10, 12, SOME),
        BreakdownRow('species', 'bat', 0, 0, NONE)]


def test_columns_are_aligned_and_groups_apart():
    lines = format_table(ROWS).splitlines()
    assert [line.split()[0] for line in lines] == ['group', '-' * 7, 'all', '-' * 7, 'species', 'species']
    assert lines[0].split()[4:] == ['AP', '95', '%', 'AR', '95', '%', 'PCK', '95', '%']
    assert lines[4].split() == ['species', 'argali,', 'sheep', '10', '12', '0.500', '0.457-0.600', '0.333',
                                '0.300-0.400', '1.000', '1.000-1.000']
    assert lines[5].split() == ['species', 'bat', '0', '0', '-', '-', '-']
    assert {line.index('0.500') for line in lines if '0.500' in line} == {lines[5].index('-') - 4}
    assert not any(line != line.rstrip() for line in lines)


def test_without_intervals_there_are_no_columns_for_them():
    plain = {score: Estimate(estimate.value) for score, estimate in SOME.items()}
    lines = format_table([BreakdownRow('all', '', 10, 12, plain)]).splitlines()
    assert lines[0].split() == ['group', 'name', 'images', 'instances', 'AP', 'AR', 'PCK']
    assert lines[2].split() == ['all', '10', '12', '0.500', '0.333', '1.000']


def test_csv_has_full_precision_and_empty_cells():
    rows = [*csv.DictReader(io.StringIO(to_csv(ROWS)))]
    assert rows[1]['name'] == 'argali, sheep' and float(rows[1]['AR']) == 1 / 3
    assert rows[2]['AP'] == rows[2]['PCK_high'] == '' and rows[2]['images'] == '0'
