"""The page that `evidence` writes, a section for each method."""
from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from pathlib import Path

INTRODUCTION = """# Evidence on toy data

Models trained for minutes from random weights on generated pictures, and tested on others, written by
`clamp-mmpose evidence` (`make evidence`). It compares parts with each other on this data and this budget. It says
nothing about pretrained weights, nor about the papers' numbers.
"""


def write_section(path: Path, title: str, lines: Sequence[str]) -> None:
    """Writes or replaces the section of one method; the others stay as they are."""
    sections = {}
    if path.exists():
        for part in path.read_text(encoding='utf-8').split('\n## ')[1:]:
            name, _, text = part.partition('\n')
            sections[name] = text.strip()
    sections[title] = '\n'.join(lines).strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [INTRODUCTION, *(f'## {name}\n\n{text}\n' for name, text in sections.items())]
    path.write_text('\n'.join(parts), encoding='utf-8')


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f'| {" | ".join(cells)} |' for cells in (header, ['---'] * len(header), *rows)]


def machine() -> str:
    return f'{datetime.date.today()}, {os.cpu_count()} CPU cores'
