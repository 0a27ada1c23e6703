"""Prompt diagnostics as a figure, CSV files and a table to read."""
from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .prompt_diagnostics import STAGES, PromptDiagnostics


def draw_prompt_diagnostics(diagnostics: PromptDiagnostics) -> Figure:
    """The prompts' similarity at each stage; below, which name wins at which keypoint, and the margins."""
    names = diagnostics.names
    size = 0.24 * len(names) + 2.2
    columns = max(3, len(diagnostics.similarity))
    figure = Figure(figsize=(size * columns, 2 * size), layout='constrained')
    above, below = figure.subplots(2, columns)
    for ax in (*above[len(diagnostics.similarity):], *below[3:]):
        ax.set_axis_off()
    for ax, (stage, matrix) in zip(above, diagnostics.similarity.items()):
        _show_matrix(figure, ax, matrix, names, f'cosine of the prompts:\n{STAGES[stage]}')
    title = 'name that scores highest (column)\nat a keypoint (row)'
    _show_matrix(figure, below[0], diagnostics.chosen, names, title, 0)
    _show_bars(below[1], diagnostics.margin, names, 'own score minus the best other')
    _show_bars(below[2], diagnostics.mirror_margin, names, 'own score minus the other side',
               [f'{share:.0%} below 0' if share > 0 else '' for share in diagnostics.mirror_lost])
    return figure


def format_prompt_diagnostics(diagnostics: PromptDiagnostics) -> str:
    """A line per keypoint, in aligned columns; '-' where there is nothing to measure."""
    head = ['keypoint', 'labelled', 'score', 'rank', 'wins', 'margin', 'other winner', 'wins', 'nearest prompt',
            'cosine', 'other side', 'margin', 'lost']
    digits = dict(rank='.1f', labelled='d')
    cells = [head]
    for row in _rows(diagnostics):
        cells.append([value if isinstance(value, str) else '-' if math.isnan(value) else format(
            value, digits.get(key, '.3f')) for key, value in row.items()])
    widths = [max(map(len, column)) for column in zip(*cells)]
    text = [[cell.ljust(width) if place in (0, 6, 8, 10) else cell.rjust(width)
             for place, (cell, width) in enumerate(zip(line, widths))] for line in cells]
    return '\n'.join('  '.join(line).rstrip() for line in text)


def write_prompt_diagnostics(diagnostics: PromptDiagnostics, folder: str | Path) -> list[Path]:
    """Writes prompts.csv, a row per keypoint, and prompt_pairs.csv, one per keypoint and name; returns the paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = []
    for row, keypoint in enumerate(diagnostics.names):
        for column, name in enumerate(diagnostics.names):
            cosines = {f'cosine_{stage}': matrix[row, column] for stage, matrix in diagnostics.similarity.items()}
            pairs.append(dict(keypoint=keypoint, name=name, **cosines, score=diagnostics.scores[row, column],
                              wins=diagnostics.chosen[row, column]))
    paths = [folder / 'prompts.csv', folder / 'prompt_pairs.csv']
    for path, rows in zip(paths, (_rows(diagnostics), pairs)):
        with path.open('w', newline='', encoding='utf-8') as file:
            writer = csv.DictWriter(file, rows[0], lineterminator='\n')
            writer.writeheader()
            for row in rows:
                writer.writerow({key: '' if value != value else value for key, value in row.items()})  # NaN
    return paths


def _rows(diagnostics: PromptDiagnostics) -> list[dict]:
    rows, names = [], diagnostics.names
    for place, ((winner, share), (nearest, cosine)) in enumerate(
            zip(diagnostics.confused_with(), diagnostics.nearest())):
        mirror = diagnostics.mirror[place]
        rows.append(
            dict(
                keypoint=names[place],
                labelled=int(diagnostics.labelled[place]),
                score=float(diagnostics.scores[place, place]),
                rank=float(diagnostics.rank[place]),
                wins=float(diagnostics.chosen[place, place]),
                margin=float(diagnostics.margin[place]),
                other_winner=names[winner] if share > 0 else '-',
                other_wins=share,
                nearest=names[nearest] if nearest != place else '-',
                nearest_cosine=cosine,
                mirror=names[mirror] if mirror != place else '-',
                mirror_margin=float(diagnostics.mirror_margin[place]),
                mirror_lost=float(diagnostics.mirror_lost[place])))
    return rows


def _show_matrix(figure: Figure, ax: Axes, matrix: np.ndarray, names: tuple[str, ...], title: str,
                 lowest: float | None = None) -> None:
    # NaN stays white.
    image = ax.imshow(matrix, cmap='viridis', vmin=lowest, vmax=1)
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.set_title(title, fontsize=9)
    figure.colorbar(image, ax=ax, shrink=0.7).ax.tick_params(labelsize=7)


def _show_bars(ax: Axes, values: np.ndarray, names: tuple[str, ...], title: str,
               notes: list[str] | None = None) -> None:
    places = np.arange(len(names))
    ax.barh(places, np.nan_to_num(values), color=np.where(values < 0, 'tab:red', 'tab:blue').tolist())
    for place, note in enumerate(notes or ()):
        ax.text(1.01, place, note, transform=ax.get_yaxis_transform(), va='center', fontsize=6)
    ax.axvline(0, color='black', linewidth=0.8)
    ax.set_yticks(places, names, fontsize=7)
    ax.tick_params(axis='x', labelsize=7)
    ax.invert_yaxis()
    ax.set_title(title, fontsize=9)
