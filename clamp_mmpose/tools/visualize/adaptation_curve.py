"""Table 2 of MeTTA's supplement as a picture."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .subject import to_csv

if TYPE_CHECKING:
    from argparse import Namespace, _ArgumentGroup

    from matplotlib.figure import Figure

HELP = ('accuracy after each step of adaptation in runs of mim test with MeTTAHook, without CONFIG and CHECKPOINT: '
        'adaptation_curve.png, adaptation_curve.csv')
NEEDS_MODEL = False


def add_arguments(parser: _ArgumentGroup) -> None:
    parser.add_argument('--runs', nargs='+', metavar='LABEL=PATH',
                        help='the work_dir of a test, or its JSON file; runs of the same label, such as seeds, are '
                        'averaged (without LABEL: the name of the folder)')
    parser.add_argument('--metrics', nargs='+', metavar='KEY',
                        help='what to draw, a panel each, such as coco/AP (default: the first that all runs have)')


def missing(args: Namespace) -> str:
    return '' if args.runs else '--runs LABEL=PATH'


def draw(args: Namespace) -> Iterator[tuple[str, Figure | str]]:
    from ... import visualization
    curves = [visualization.find_curve(path, label) for label, path in _labelled(args.runs)]
    metrics = visualization.choose_metrics(curves, args.metrics)
    yield 'adaptation_curve.png', visualization.draw_adaptation_curves(curves, metrics)
    yield 'adaptation_curve.csv', to_csv(visualization.CURVE_COLUMNS, visualization.curve_table(curves, metrics))


def _labelled(runs: Sequence[str]) -> Iterator[tuple[str, str]]:
    for run in runs:
        label, equals, path = run.partition('=')
        if not equals or Path(run).exists():
            label, path = Path(run).stem, run
        if not (label and path):
            raise ValueError(f"--runs '{run}' must be LABEL=PATH")
        if not Path(path).exists():
            raise FileNotFoundError(f'--runs {run}: there is no file or folder {path}')
        yield label, path
