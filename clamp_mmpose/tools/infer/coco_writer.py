from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ...apis import PoseResult
from .part_file import PartFile


class CocoWriter:
    """``keypoints.json``, COCO's list of results, and ``images.json``, a COCO file of the images they belong to.

    Box and keypoints as in COCO: [x, y, width, height], and x, y, score of each keypoint, all 0 where there is none. A
    pose that was written as a caption has it as ``caption``. Images without an id of
    their own are numbered from ``next_image_id`` on.
    """

    def __init__(self, folder: Path, categories: dict[int, str], next_image_id: int, meta: dict) -> None:
        self._results = _JsonList(PartFile(folder / 'keypoints.json'))
        names = [meta['keypoint_id2name'][index] for index in range(meta['num_keypoints'])]
        skeleton = [[int(end) + 1 for end in link] for link in meta['skeleton_links']]  # COCO counts from 1
        kinds = [dict(id=number, name=name, keypoints=names, skeleton=skeleton) for number, name in categories.items()]
        images = PartFile(folder / 'images.json')
        images.file.write(f'{{"categories": {json.dumps(kinds)}, "annotations": [], "images": ')
        self._images = _JsonList(images, end='}')
        self._next_image_id = next_image_id

    def add(self, result: PoseResult) -> None:
        if result.error is not None:
            return
        frame, image_id = result.frame, result.boxes.image_id
        if image_id is None:
            image_id, self._next_image_id = self._next_image_id, self._next_image_id + 1
        height, width = frame.image.shape[:2]
        image = dict(id=image_id, file_name=result.path, width=width, height=height)
        self._images.append(image if frame.index is None else dict(image, frame=frame.index, time_s=frame.time))
        triples = np.concatenate([result.keypoints, result.scores[..., None]], axis=-1)
        triples = np.where(np.isfinite(triples).all(-1, keepdims=True), triples, 0)
        for box, box_score, category, keypoints, score, caption in zip(
                result.boxes.xyxy, result.boxes.scores, result.boxes.category_ids, triples, result.pose_scores,
                result.captions or [None] * len(result)):
            self._results.append(
                dict(
                    image_id=image_id,
                    category_id=int(category),
                    bbox=_numbers([*box[:2], *(box[2:] - box[:2])]),
                    bbox_score=_numbers([box_score])[0],
                    keypoints=_numbers(keypoints.ravel()),
                    score=_numbers([score])[0],
                    **({} if caption is None else dict(caption=caption))))

    def close(self) -> list[Path]:
        """Completes the files and returns their paths."""
        return [self._results.finish(), self._images.finish()]


class _JsonList:
    """A list that is written as it grows."""

    def __init__(self, part: PartFile, end: str = '') -> None:
        self._part, self._end, self._before = part, end, '[\n'

    def append(self, item: dict) -> None:
        self._part.file.write(self._before + json.dumps(item))
        self._before = ',\n'

    def finish(self) -> Path:
        self._part.file.write(('[' if self._before == '[\n' else '\n') + f']{self._end}\n')
        return self._part.finish()


def _numbers(values) -> list[float]:
    """The shortest decimals that mean the same float32."""
    return [float(str(np.float32(value))) for value in values]
