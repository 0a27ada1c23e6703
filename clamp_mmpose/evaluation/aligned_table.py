from __future__ import annotations

from collections.abc import Sequence


def align_columns(lines: Sequence[Sequence[str]], *, text_columns: int = 1, groups: bool = False) -> str:
    """Lines of cells as a table to read: the first ``text_columns`` flush left, numbers flush right.

    ``groups`` draws a rule wherever the first cell changes.
    """
    widths = [max(map(len, column)) for column in zip(*lines)]
    table = []
    for line, before in zip(lines, [None, *lines]):
        if groups and before is not None and line[0] != before[0]:
            table.append('  '.join('-' * width for width in widths))
        cells = [cell.ljust(width) if place < text_columns else cell.rjust(width)
                 for place, (cell, width) in enumerate(zip(line, widths))]
        table.append('  '.join(cells).rstrip())
    return '\n'.join(table)
