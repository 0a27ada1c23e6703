"""The tables of what was reproduced: Markdown for reading, CSV with every metric, and the list of rows."""

from __future__ import annotations

import csv
import shlex
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from .rows import OPERATIONS, PARAMETERS, Row
from .runs import Run

HEADER = ('table', 'row', 'paper', 'ours', 'difference', 'last epoch', 'command', 'commit', 'device', 'date')
COLUMNS = ('table', 'row', 'config', 'metric', 'paper', 'ours', 'least', 'greatest', 'last epoch', 'difference',
           'seeds', 'command', 'commit', 'device', 'date')
INTRODUCTION = """# {title}

Written by `clamp-mmpose reproduce`. AP and AR in %, on the split that the paper names: *ours* is the best checkpoint
on it, as the released code chooses, *last epoch* the last one. Of several seeds the mean, and the least and greatest.
"""
PAPER = """*Difference*: ours less the paper's. Parameters leave out the text tower and the upsampling of the score map,
operations are multiply-adds as mmcv's counter sees them, the text embedded beforehand.
"""
TOY = """Generated animals, random weights, each training sees about {animals} animals, whatever the size of its set.
*Difference* is to the same protocol's SimpleBaseline, seed by seed; *paper* is that difference in the paper, with
pretrained CLIP on real animals. One table says nothing about the other's numbers.
"""


class Line(NamedTuple):
    """One metric of a row, over the seeds that are done."""

    row: Row
    metric: str
    paper: object
    ours: dict[int, float]  # seed -> value
    last: dict[int, float]
    states: list[dict]

    @property
    def mean(self) -> float | None:
        return statistics.mean(self.ours.values()) if self.ours else None


class Report:
    """Reads what a work directory has of some rows, and writes the tables."""

    def __init__(self, rows: Sequence[Row], runs_of: Callable[[Row], Sequence[Run]], cost_of: Callable[[Row], dict], *,
                 paper: Sequence[Row], toy: str = '', options: Sequence[str] = ()) -> None:
        self.rows, self.runs_of, self.cost_of, self.toy, self.options = rows, runs_of, cost_of, toy, options
        self.paper = {row.key: row for row in paper}

    def write(self, out: Path) -> None:
        """Writes ``out`` and the same name with .csv."""
        lines = [line for row in self.rows for line in self._lines(row)]
        title = 'Toy protocols' if self.toy else 'Tables of the paper'
        introduction = INTRODUCTION.format(title=title) + (self.toy or PAPER)
        shown = [self._cells(line, lines) for line in lines if line.metric in ('AP', PARAMETERS, OPERATIONS)]
        table = [f'| {" | ".join(cells)} |' for cells in (HEADER, ['---'] * len(HEADER), *shown)]
        out.parent.mkdir(parents=True, exist_ok=True)
        _replace(out, '\n'.join([introduction, *table, '']))
        with out.with_suffix('.csv').open('w', newline='', encoding='utf-8') as file:
            writer = csv.writer(file)
            writer.writerows([COLUMNS, *(self._record(line, lines) for line in lines)])

    def _lines(self, row: Row) -> list[Line]:
        states = [run.state for run in self.runs_of(row)]
        states = [state for state in states if state.get('results')]
        lines = []
        metrics = list(dict.fromkeys([*row.paper, *(name for state in states for name in state['results']['best'])]))
        for metric in metrics:
            if metric == 'epoch':
                continue
            if metric in (PARAMETERS, OPERATIONS):
                cost = self.cost_of(row)
                lines.append(Line(row, metric, row.paper[metric], {0: cost[metric]} if cost else {}, {},
                                  [cost] if cost else []))
                continue
            best, last = ({state['seed']: state['results'][which][metric] for state in states
                           if metric in state['results'][which]} for which in ('best', 'last'))
            lines.append(Line(row, metric, row.paper.get(metric), best, last, states))
        return lines

    def _cells(self, line: Line, lines: list[Line]) -> list[str]:
        row, metric = line.row, '' if line.metric == 'AP' else f', {line.metric}'
        paper = line.paper
        if self.toy:
            gain = self._gain_in_the_paper(row)
            paper = None if gain is None else f'{gain:+.1f}'
        command, commit, device, date = (f'`{text}`' if text and index == 0 else text or '-'
                                         for index, text in enumerate(self._origin(line)))
        return [row.table, f'{row.name}{metric}', '-' if paper is None else str(paper),
                _spread(line.ours) or 'not run', _signed(self._difference(line, lines)), _spread(line.last) or '-',
                command, commit, device, date]

    def _record(self, line: Line, lines: list[Line]) -> list:
        row, values, difference = line.row, line.ours.values(), self._difference(line, lines)
        paper = self._gain_in_the_paper(row) if self.toy and line.metric == 'AP' else line.paper
        seeds = ' '.join(map(str, sorted(line.ours))) if line.last else ''
        numbers = [line.mean, min(values), max(values)] if values else ['', '', '']
        last = statistics.mean(line.last.values()) if line.last else ''
        rounded = [round(number, 3) if number != '' else '' for number in (*numbers, last)]
        return [row.table, row.name, row.config.stem, line.metric, '' if paper is None else paper, *rounded,
                '' if difference is None else round(difference, 3), seeds, *self._origin(line)]

    def _difference(self, line: Line, lines: list[Line]) -> float | None:
        """Ours less the paper's; of a toy row, less its baseline's of the same seeds."""
        if not self.toy:
            return line.mean - line.paper if line.ours and isinstance(line.paper, (int, float)) else None
        baseline = next((other.ours for other in lines if other.row.table == line.row.table
                         and other.row.is_baseline and other.metric == line.metric), {})
        shared = sorted(set(line.ours) & set(baseline))
        if line.row.is_baseline or not shared:
            return None
        return statistics.mean(line.ours[seed] - baseline[seed] for seed in shared)

    def _gain_in_the_paper(self, row: Row) -> float | None:
        """The row's AP in the paper less that of the SimpleBaseline that its table has beside it."""
        imitated = self.paper.get(row.imitates)
        baseline = next((self.paper.get(other.imitates) for other in self.rows
                         if other.table == row.table and other.is_baseline), None)
        if row.is_baseline or imitated is None or baseline is None or imitated.table != baseline.table:
            return None
        values = imitated.paper['AP'], baseline.paper['AP']
        return None if None in values else values[0] - values[1]

    def _origin(self, line: Line) -> tuple[str, str, str, str]:
        """Command, commit, device and date of what was measured."""
        if not line.states:
            return '', '', '', ''
        row, seeds = line.row, sorted(line.ours) if line.last else []
        words = ['clamp-mmpose', 'reproduce', 'clamp', *(['--toy'] if self.toy else []), *self.options, '--table',
                 row.table, '--row', row.name, *(['--seeds', *map(str, seeds)] if seeds else [])]
        commits = dict.fromkeys(commit for state in line.states for commit in state['commits'])
        devices = dict.fromkeys(state['device'] for state in line.states)
        return shlex.join(words), ', '.join(commits), ', '.join(devices), max(state['date'] for state in line.states)


def _spread(values: dict[int, float]) -> str:
    if not values:
        return ''
    numbers = list(values.values())
    spread = f' ({min(numbers):.1f} to {max(numbers):.1f}; {len(numbers)} seeds)' if len(numbers) > 1 else ''
    return f'{statistics.mean(numbers):.1f}{spread}'


def _signed(number: float | None) -> str:
    return '-' if number is None else f'{number:+.1f}'


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f'{path.name}.tmp')
    draft.write_text(text, encoding='utf-8')
    draft.replace(path)
