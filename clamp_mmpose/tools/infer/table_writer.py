from __future__ import annotations

import csv
import math
from pathlib import Path

from ...apis import PoseResult
from .part_file import PartFile

COLUMNS = ('file', 'frame', 'time_s', 'instance', 'category', 'box_x1', 'box_y1', 'box_x2', 'box_y2', 'box_score',
           'keypoint', 'x', 'y', 'score', 'visible')


class TableWriter:
    """``keypoints.csv``: one row per keypoint of each instance of each image or frame.

    Instances are numbered in each image anew, from 0; the numbers are no identities. ``visible`` is 1 where the score
    reaches ``kpt_thr``; ``x`` and ``y`` are empty where there is no keypoint.
    """

    def __init__(self, folder: Path, categories: dict[int, str], kpt_thr: float) -> None:
        self._part = PartFile(folder / 'keypoints.csv')
        self._rows = csv.writer(self._part.file, lineterminator='\n')
        self._rows.writerow(COLUMNS)
        self._categories, self._kpt_thr = categories, kpt_thr

    def add(self, result: PoseResult) -> None:
        frame, boxes = result.frame, result.boxes
        time = '' if frame.time is None else f'{frame.time:.6g}'
        rows = []
        where = [result.path, '' if frame.index is None else frame.index, time]
        for instance, (keypoints, scores) in enumerate(zip(result.keypoints, result.scores)):
            category = self._categories[int(boxes.category_ids[instance])]
            box = [*(f'{value:.2f}' for value in boxes.xyxy[instance]), f'{boxes.scores[instance]:.4f}']
            for name, (x, y), score in zip(result.keypoint_names, keypoints, scores):
                rows.append([*where, instance, category, *box, name, digits(x), digits(y), f'{score:.4f}',
                             int(score >= self._kpt_thr)])
        self._rows.writerows(rows)

    def close(self) -> list[Path]:
        """Completes the file and returns its path."""
        return [self._part.finish()]


def digits(coordinate: float) -> str:
    """Of a coordinate; nothing where there is none."""
    return f'{coordinate:.3f}' if math.isfinite(coordinate) else ''
