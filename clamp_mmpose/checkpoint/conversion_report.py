from __future__ import annotations

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class ConversionReport:
    """What became of every tensor of a released file.

    ``renamed``: released name -> ours. ``resized``: ours -> shapes before and after. ``dropped``: released name -> why.
    ``missing``: ours that neither file nor output has -> why. ``added``: ours that the file lacks -> where from.
    ``notes`` and ``warnings`` are lines about the whole.
    """

    source: str
    description: str
    renamed: dict[str, str]
    resized: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    dropped: dict[str, str]
    missing: dict[str, str]
    added: dict[str, str]
    notes: list[str]
    warnings: list[str]

    def lines(self, *, every: bool = False) -> list[str]:
        """The report as text; ``every`` names each tensor, else those of one part that share a fate are one line."""
        total = len(self.renamed) + len(self.dropped)
        lines = [f'{self.source}: {self.description}, {total} tensors', *(f'  {note}' for note in self.notes)]
        lines += _section('used', self._used(every), len(self.renamed))
        resized = [f'{name}: {before} -> {after}' for name, (before, after) in self.resized.items()]
        lines += _section('resized', resized, len(resized))
        for title, table in (('dropped', self.dropped), ('missing', self.missing), ('added', self.added)):
            lines += _section(title, _grouped(table, every), len(table))
        return lines

    def _used(self, every: bool) -> list[str]:
        if every:
            return [f'{name} -> {target}' for name, target in self.renamed.items()]
        groups: dict[tuple[str, str], int] = {}
        for name, target in self.renamed.items():
            common = _common_end(name, target)
            key = (name[:len(name) - len(common)] + '*' if common else name,
                   target[:len(target) - len(common)] + '*' if common else target)
            groups[key] = groups.get(key, 0) + 1
        return [f'{name} -> {target} ({count})' for (name, target), count in groups.items()]


def _section(title: str, rows: list[str], count: int) -> list[str]:
    if not rows:
        return [f'{title}: none']
    return [f'{title}: {count}', *(f'  {row}' for row in rows)]


def _grouped(table: dict[str, str], every: bool) -> list[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for name, reason in table.items():
        part = name if every else re.match(r'(head\.\w+|neck\.\w+|[^.]+)', name)[1]
        groups.setdefault((part, reason), []).append(name)
    rows = []
    for (part, reason), names in groups.items():
        rows += [f'{name}: {reason}' for name in names] if len(names) < 4 else [f'{part}.* ({len(names)}): {reason}']
    return rows


def _common_end(name: str, target: str) -> str:
    """The last parts that two names share, from a dot on."""
    ours, theirs = target.split('.'), name.split('.')
    count = 0
    while count < min(len(ours), len(theirs)) - 1 and ours[-1 - count] == theirs[-1 - count]:
        count += 1
    return '.'.join(theirs[len(theirs) - count:])
