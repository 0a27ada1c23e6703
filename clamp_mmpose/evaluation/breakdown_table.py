"""The rows of a breakdown as a table to read and as CSV."""
from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from .aligned_table import align_columns
from .breakdown import SCORES, BreakdownRow, Estimate


def format_table(rows: Sequence[BreakdownRow], confidence: float = 0.95) -> str:
    """Aligned columns, the groups apart; '-' where there is nothing to measure."""
    interval = f'{100 * confidence:g} %'
    cells = [['group', 'name', 'images', 'instances', *(cell for score in SCORES for cell in (score, interval))]]
    for row in rows:
        cells.append([row.group, row.name, str(row.images), str(row.instances)])
        for score in SCORES:
            cells[-1] += [_digits(row.scores[score].value), _interval(row.scores[score])]
    if not any(_interval(row.scores[score]) for row in rows for score in SCORES):
        cells = [[cell for place, cell in enumerate(line) if place < 4 or place % 2 == 0] for line in cells]
    return align_columns(cells, text_columns=2, groups=True)


def to_csv(rows: Sequence[BreakdownRow]) -> str:
    """One line per row, in full precision; a cell is empty where there is nothing to measure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow([
        'group', 'name', 'images', 'instances',
        *(f'{score}{end}' for score in SCORES for end in ('', '_low', '_high'))
    ])
    for row in rows:
        values = [value for score in SCORES for value in row.scores[score]]
        writer.writerow([row.group, row.name, row.images, row.instances,
                         *('' if math.isnan(value) else repr(float(value)) for value in values)])
    return text.getvalue()


def _digits(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.3f}'


def _interval(estimate: Estimate) -> str:
    return '' if math.isnan(estimate.low) else f'{estimate.low:.3f}-{estimate.high:.3f}'
