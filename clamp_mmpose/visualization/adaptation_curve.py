"""Table 2 of MeTTA's supplement as a picture: accuracy after each step of adaptation, of runs that have been made."""
from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

CURVE_COLUMNS = ('run', 'file', 'metric', 'step', 'value')
_KEY = re.compile(r'adaptation/step_(\d+)/(.+)')


@dataclasses.dataclass(frozen=True)
class AdaptationCurve:
    """``metrics``: name of a metric -> its values after 0, 1, ... steps, NaN for one that is not there. ``path``: the
    file that they come from."""

    label: str
    path: Path
    metrics: dict[str, list[float]]


def find_curve(path: str | Path, label: str) -> AdaptationCurve:
    """What MeTTAHook has left in a JSON file that MMEngine writes, or in a folder that has such files.

    A test writes ``<work_dir>/<timestamp>/<timestamp>.json``, and the validations of a training are lines of
    ``vis_data/<timestamp>.json`` beneath it, the last of which counts. Of several files the newest run is taken.

    Raises:
        OSError: if there is no such file or folder.
        ValueError: if it holds no accuracy after the steps of adaptation.
    """
    path = Path(path)
    if path.is_dir():
        # Folders are named by the time of the run.
        files = sorted(path.rglob('*.json'), key=lambda file: (file.stem, file.parent.name != 'vis_data'), reverse=True)
        for file in files:
            metrics = _read(file) if re.fullmatch(r'\d{8}_\d{6}', file.stem) else {}
            if metrics:
                return AdaptationCurve(label, file, metrics)
        raise ValueError(f'{path} has no run of mim test with MeTTAHook: no <timestamp>.json beneath it has a key '
                         'adaptation/step_0/...')
    metrics = _read(path, strict=True)
    if not metrics:
        raise ValueError(f'{path} has no key adaptation/step_0/..., which a test with MeTTAHook writes')
    return AdaptationCurve(label, path, metrics)


def choose_metrics(curves: Sequence[AdaptationCurve], wanted: Sequence[str] | None) -> list[str]:
    """``wanted``, or the first metric that all curves have. Raises ValueError for one that a curve does not have."""
    for curve in curves:
        for name in wanted or ():
            if name not in curve.metrics:
                raise ValueError(f"metric '{name}' is not in {curve.path}, which has {', '.join(curve.metrics)}")
    common = [name for name in curves[0].metrics if all(name in curve.metrics for curve in curves)]
    if not (wanted or common):
        raise ValueError('the runs have no metric in common; ' + '; '.join(
            f'{curve.path} has {", ".join(curve.metrics)}' for curve in curves))
    return list(dict.fromkeys(wanted or common[:1]))


def draw_adaptation_curves(curves: Sequence[AdaptationCurve], metrics: Sequence[str]) -> Figure:
    """A panel for each metric, its values against the steps.

    Curves of the same label are repetitions, such as seeds: a thin line each, and a thick one of their mean.
    """
    labels = list(dict.fromkeys(curve.label for curve in curves))
    figure = Figure(figsize=(5.4 * len(metrics), 4.2), layout='constrained')
    for ax, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics):
        for number, label in enumerate(labels):
            values = [curve.metrics[metric] for curve in curves if curve.label == label]
            colour = f'C{number}'
            mean = _mean(values)
            if len(values) > 1:
                for single in values:
                    ax.plot(single, color=colour, lw=0.8, alpha=0.45)
            gain = f'{mean[-1] - mean[0]:+.4g}'
            repeats = f', mean of {len(values)}' if len(values) > 1 else ''
            ax.plot(mean, 'o-', color=colour, lw=2, ms=5, label=f'{label}{repeats} ({gain})')
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel('steps of adaptation')
        ax.set_ylabel(metric)
        ax.grid(axis='y', color='0.9')
        ax.legend(fontsize=9, title='(last step - step 0)', title_fontsize=8)
    return figure


def curve_table(curves: Sequence[AdaptationCurve], metrics: Sequence[str]) -> Iterator[list]:
    """A row per curve, metric and step, as CURVE_COLUMNS names them."""
    for curve in curves:
        for metric in metrics:
            for step, value in enumerate(curve.metrics[metric]):
                yield [curve.label, curve.path, metric, step, '' if math.isnan(value) else repr(value)]


def _mean(values: Sequence[Sequence[float]]) -> np.ndarray:
    """Of curves that have the same steps; as far as the shortest goes."""
    steps = min(map(len, values))
    return np.mean([single[:steps] for single in values], axis=0)


def _read(path: Path, *, strict: bool = False) -> dict[str, list[float]]:
    """The metrics of the last record of a file, one JSON object or one per line, that has any."""
    text = path.read_text(encoding='utf-8')
    try:
        records = [json.loads(text)]
    except ValueError:
        try:
            records = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            if strict:
                raise ValueError(f'{path} is no JSON ({error})') from error
            return {}
    for record in reversed(records):
        metrics = _steps_of(record) if isinstance(record, dict) else {}
        if metrics:
            return metrics
    return {}


def _steps_of(record: dict) -> dict[str, list[float]]:
    found: dict[str, dict[int, float]] = {}
    for key, value in record.items():
        match = _KEY.fullmatch(key)
        if match and isinstance(value, (int, float)):
            found.setdefault(match[2], {})[int(match[1])] = float(value)
    return {name: [steps.get(step, math.nan) for step in range(max(steps) + 1)] for name, steps in found.items()}
