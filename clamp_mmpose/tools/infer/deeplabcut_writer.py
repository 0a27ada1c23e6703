from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import TextIO

from ...apis import PoseResult
from .part_file import PartFile
from .table_writer import digits


class DeepLabCutWriter:
    """``dlc/<video>.csv`` for each video and ``dlc/images.csv`` for all images, as DeepLabCut's pandas reads them.

    The header has the rows scorer, bodyparts and coords, for ``pandas.read_csv(path, index_col=0, header=[0, 1, 2])``;
    with more than one instance in any frame a row individuals stands behind the scorer: ``header=[0, 1, 2, 3]``. The
    index is the frame's number or the image's path. What is missing is empty.

    Individuals are numbered in each frame anew, by the order of their boxes; the numbers are no identities.
    """

    def __init__(self, folder: Path, scorer: str) -> None:
        self._folder, self._scorer = folder / 'dlc', scorer
        self._tables: dict[str, _Table] = {}
        self._written: list[Path] = []

    def add(self, result: PoseResult) -> None:
        is_video = result.frame.index is not None
        name = f'{result.frame.input.name}.csv' if is_video else 'images.csv'
        for other in [other for other in self._tables if other not in (name, 'images.csv')]:
            self._finish(other)  # its video has ended
        if result.error is not None:
            return
        if name not in self._tables:
            self._tables[name] = _Table(result.keypoint_names)
        self._tables[name].add(result.frame.index if is_video else result.path, result)

    def close(self) -> list[Path]:
        """Completes the files and returns their paths."""
        for name in [*self._tables]:
            self._finish(name)
        return self._written

    def _finish(self, name: str) -> None:
        self._written.append(self._tables.pop(name).write(self._folder / name, self._scorer))


class _Table:
    """Rows wait on the disk, because the header depends on the frame with most instances."""

    def __init__(self, keypoint_names: tuple[str, ...]) -> None:
        self._keypoint_names, self._individuals = keypoint_names, 1
        self._waiting: TextIO = tempfile.TemporaryFile('w+', encoding='utf-8', newline='')  # noqa: SIM115

    def add(self, index: int | str, result: PoseResult) -> None:
        values = [text for keypoints, scores in zip(result.keypoints, result.scores)
                  for (x, y), score in zip(keypoints, scores) for text in (digits(x), digits(y), f'{score:.4f}')]
        csv.writer(self._waiting).writerow([index, *values])
        self._individuals = max(self._individuals, len(result))

    def write(self, path: Path, scorer: str) -> Path:
        part = PartFile(path)
        rows = csv.writer(part.file, lineterminator='\n')
        columns = [(scorer, f'individual{number}', name, coordinate)
                   for number in range(1, self._individuals + 1)
                   for name in self._keypoint_names for coordinate in ('x', 'y', 'likelihood')]
        levels = ('scorer', 'individuals', 'bodyparts', 'coords')
        for level, *labels in zip(levels, *columns):
            if level != 'individuals' or self._individuals > 1:
                rows.writerow([level, *labels])
        self._waiting.seek(0)
        for number, row in enumerate(csv.reader(self._waiting)):
            row += [''] * (1 + len(columns) - len(row))
            if number == 0 and not any(row[1:]):
                row[1] = 'nan'  # pandas would take an empty first row for the index's names
            rows.writerow(row)
        self._waiting.close()
        return part.finish()
