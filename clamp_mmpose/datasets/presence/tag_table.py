"""Tables of people of whom it is known which keypoints a picture shows, and nothing of where."""
from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_REQUIRED = ('image', 'tags')
_BOX = ('x', 'y', 'w', 'h')
_SHOWN = 5  # problems that one error tells


@dataclass(frozen=True)
class TagRow:
    """One person. ``line`` of the file; ``box`` (x, y, w, h), or None for the whole picture; ``present``: (K,) of 0, 1.
    """

    line: int
    image: str
    box: tuple | None
    present: tuple


def read_tag_table(path, names: Sequence[str]) -> list[TagRow]:
    """Reads a CSV file with a header: image, tags, and box or x, y, w, h if the picture shows more than the person.

    Tags are names of keypoints between semicolons, bars, commas or spaces, in any case, with spaces, hyphens or
    underscores in them; none means that no keypoint is there. A box is four numbers. Fields are between commas,
    semicolons or tabs, as the header shows. Other columns are left alone.

    Raises FileNotFoundError, or ValueError that names the lines with unknown tags, boxes without extent, and people
    that stand there twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} is not there')
    try:
        text = path.read_text(encoding='utf-8-sig')  # spreadsheets begin with a mark of the byte order
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not a text in UTF-8: {error}') from error
    reader = csv.DictReader(io.StringIO(text, newline=''), delimiter=_delimiter(text), skipinitialspace=True)
    try:
        columns = _columns(path, reader.fieldnames or [])
        rows, problems = [], []
        tags = _Tags(names)
        for record in reader:
            try:
                rows.append(_read_row(reader.line_num, record, columns, tags))
            except ValueError as error:
                problems.append(f'line {reader.line_num}: {error}')
    except csv.Error as error:
        raise ValueError(f'{path}, line {reader.line_num}: {error}') from error
    problems += _repeated(rows)
    if problems:
        more = f'; and {len(problems) - _SHOWN} more' if len(problems) > _SHOWN else ''
        known = f'. The keypoints are {", ".join(names)}' if tags.missed else ''
        raise ValueError(f'{path}, {"; ".join(problems[:_SHOWN])}{more}{known}')
    if not rows:
        raise ValueError(f'{path} has a header and no rows')
    return rows


class _Tags:
    """Finds keypoints by their names."""

    def __init__(self, names: Sequence[str]) -> None:
        self.number = len(names)
        self.names = {_plain(name): index for index, name in enumerate(names)}
        self.spelling = {_plain(name): name for name in names}
        self.missed = False

    def read(self, text: str) -> tuple:
        present = [0] * self.number
        unknown = []
        for piece in filter(None, map(str.strip, re.split(r'[;|,]', text))):
            # A name may have spaces in it; otherwise they stand between names.
            for tag in [piece] if _plain(piece) in self.names else piece.split():
                index = self.names.get(_plain(tag))
                if index is None:
                    unknown.append(self._unknown(tag))
                else:
                    present[index] = 1
        if unknown:
            self.missed = True
            raise ValueError(', '.join(dict.fromkeys(unknown)))
        return tuple(present)

    def _unknown(self, tag: str) -> str:
        close = difflib.get_close_matches(_plain(tag), self.names, n=1)
        return f'tag {tag!r} is no keypoint' + (f' (did you mean {self.spelling[close[0]]!r}?)' if close else '')


def _delimiter(text: str) -> str:
    """What stands between the column names of the header."""
    header = next((line for line in text.splitlines() if line.strip()), '')
    return max(',;\t', key=header.count)


def _columns(path: Path, fields: Sequence[str]) -> dict:
    """Column name, lower case -> as the header has it."""
    columns = {}
    for field in fields:
        if columns.setdefault(field.strip().lower(), field) is not field:
            raise ValueError(f'{path} has two columns {field.strip()!r}')
    missing = [name for name in _REQUIRED if name not in columns]
    some = [name for name in _BOX if name in columns]
    if 'box' not in columns and some and len(some) < 4:
        missing += [name for name in _BOX if name not in columns]
    if missing:
        raise ValueError(f'{path} has no column {", ".join(missing)}; its header is {", ".join(fields) or "empty"}, '
                         'and must have image, tags, and if the picture shows more than the person, box (x y w h) or '
                         'x, y, w, h')
    if 'box' in columns and some:
        raise ValueError(f'{path} has both a column box and {", ".join(some)}: keep one of them')
    return columns


def _read_row(line: int, record: dict, columns: dict, tags: _Tags) -> TagRow:
    if None in record:
        raise ValueError('more fields than the header has; put fields with a delimiter in them between quotes')
    if any(record[columns[name]] is None for name in (*_REQUIRED, 'box', *_BOX) if name in columns):
        raise ValueError('fewer fields than the header has')
    image = record[columns['image']].strip()
    if not image:
        raise ValueError('no image')
    if 'box' in columns:
        numbers = [number for number in re.split(r'[\s,;]+', record[columns['box']].strip(' \t[]()')) if number]
    else:
        numbers = [record[columns[name]].strip() for name in _BOX if name in columns]
        numbers = numbers if any(numbers) else []
    return TagRow(line, image, _box(numbers) if numbers else None, tags.read(record[columns['tags']]))


def _box(numbers: Sequence[str]) -> tuple:
    try:
        box = tuple(map(float, numbers))
    except ValueError:
        box = ()
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise ValueError(f'box {" ".join(numbers)!r} must be four numbers: x y w h')
    if box[2] <= 0 or box[3] <= 0:
        raise ValueError(f'box {" ".join(numbers)!r} has no extent: x y w h, and w and h above 0')
    return box


def _repeated(rows: Sequence[TagRow]) -> list[str]:
    first, problems = {}, []
    for row in rows:
        line = first.setdefault((row.image, row.box), row.line)
        if line != row.line:
            problems.append(f'line {row.line}: the same image and box as line {line}')
    return problems


def _plain(name: str) -> str:
    """'Left Eye' and 'left-eye' are 'left_eye'."""
    return re.sub(r'[\s_-]+', '_', name.strip()).casefold()
