"""The rows of a paper's tables, and those of the toy protocols, as the metafiles have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..commands import find_config

METRICS = {  # the name in CocoMetric's results -> in the paper's tables
    'coco/AP': 'AP',
    'coco/AP .5': 'AP50',
    'coco/AP .75': 'AP75',
    'coco/AP (M)': 'APM',
    'coco/AP (L)': 'APL',
    'coco/AR': 'AR',
}
PARAMETERS, OPERATIONS = 'Parameters (M)', 'GFLOPs'  # those of Table 7


@dataclass(frozen=True, eq=False)
class Row:
    """One row of a table: ``paper`` is metric -> the authors' value, a number, words or None."""

    table: str  # '1' to '11' and 'supplement', or the name of a toy protocol
    name: str
    config: Path
    paper: dict
    imitates: str | None = None  # of a toy row, the key of the paper's

    @property
    def key(self) -> str:
        """As the metafile has it: 'Table 1, CLAMP, ResNet-50'."""
        return f'{"Table " if self.table.isdigit() else ""}{self.table}, {self.name}'

    @property
    def is_baseline(self) -> bool:
        return self.config.name.startswith('simplebaseline')

    @property
    def has_cost(self) -> bool:
        """Whether the row has parameters and operations, which need no data."""
        return PARAMETERS in self.paper


def read_rows(method: str) -> list[Row]:
    """The paper's rows for the configs of one folder, in the order of the tables."""
    rows = [_row(key, model, values) for model in _models() if Path(model['Config']).parent.name == method
            for key, values in _mapping(model, 'Paper Result').items()]
    return sorted(rows, key=lambda row: (not row.table.isdigit(), int(row.table) if row.table.isdigit() else 0))


def read_toy_rows() -> list[Row]:
    """The rows of the toy protocols, each protocol's baseline first."""
    rows = [_row(key, model, {'AP': None}, imitated) for model in _models()
            for key, imitated in _mapping(model, 'Toy Rows').items()]
    protocols = list(dict.fromkeys(row.table for row in rows))
    return sorted(rows, key=lambda row: (protocols.index(row.table), not row.is_baseline))


def select(rows: Sequence[Row], tables: Iterable[str] | None, names: Iterable[str] | None) -> list[Row]:
    """The rows of some tables whose key contains one of the names, whatever its case. ValueError where none is left."""
    known = list(dict.fromkeys(row.table for row in rows))
    unknown = [table for table in tables or () if table.lower() not in known]
    if unknown:
        raise ValueError(f'--table {" ".join(unknown)}: there are {", ".join(known)}')
    tables = [table.lower() for table in tables or known]
    chosen = [row for row in rows if row.table in tables]
    if names is not None:
        chosen = list(dict.fromkeys(row for name in names for row in _named(chosen, name.lower())))
        chosen.sort(key=rows.index)
    if not chosen:
        raise ValueError(f'--row {" ".join(map(repr, names))}: no row has it in its name; --list shows them')
    return chosen


def _named(rows: Sequence[Row], name: str) -> list[Row]:
    """Rows of exactly this name, else those that have it in their name or config."""
    exact = [row for row in rows if name in (row.name.lower(), row.key.lower(), row.config.stem)]
    return exact or [row for row in rows if name in f'{row.key} {row.config.stem}'.lower()]


def _models() -> list[dict]:
    import yaml
    index = find_config(Path('model-index.yml'))
    files = [index.parent / name for name in yaml.safe_load(index.read_text(encoding='utf-8'))['Import']]
    return [model for file in files for model in yaml.safe_load(file.read_text(encoding='utf-8'))['Models']]


def _mapping(model: dict, key: str) -> dict:
    value = model['Metadata'].get(key)
    return value if isinstance(value, dict) else {}


def _row(key: str, model: dict, paper: dict, imitates: str | None = None) -> Row:
    table, name = re.fullmatch(r'(?:Table )?([\w-]+), (.+)', key).groups()
    return Row(table, name, Path(model['Config']), paper, imitates)
