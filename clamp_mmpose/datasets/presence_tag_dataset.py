from __future__ import annotations

import os.path as osp

import numpy as np
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.registry import DATASETS
from PIL import Image, UnidentifiedImageError

from .presence import TagRow, read_tag_table

_TURNED = (5, 6, 7, 8)  # EXIF orientations whose width is the height of what OpenCV reads
_ORIENTATION = 0x0112
_SLACK = 1  # pixels that a window may stand out of a box that contains it


@DATASETS.register_module()
class PresenceTagDataset(BaseCocoStyleDataset):
    """People of whom a table says which keypoints the picture shows, for training without any coordinates.

    ``ann_file`` is a CSV file with a header: ``image``, relative to ``data_prefix['img']``; ``tags``, names of the
    keypoints of ``metainfo`` between semicolons or spaces; and ``box``, x y w h in pixels, or four columns x, y, w, h,
    where the picture shows more than the person. A box is cut to the picture.

    The pipeline needs ``GeneratePresence``, which takes the tags as they are. Coordinates are 0 and weigh nothing, so
    that these people can be trained with among others that have locations.

    With ``windows``, samples are those rows alone in whose box the boxes of other rows lie, of anyone in the picture.
    These are its windows, and so are the rows whose boxes it cuts: ``window_boxes`` (W, 4), from corner to corner in
    the picture, and ``window_presence`` (W, K). ``PackPresenceInputs`` draws some and packs them as the input shows
    them.

    Raises ValueError that names the lines with unknown tags, pictures that are not there or cannot be read, boxes
    outside the picture, and rows that stand there twice; and if no row contains as many others as asked for.

    Args:
        metainfo: of the skeleton, as for any dataset of MMPose: dict(from_file='configs/_base_/datasets/coco.py').
        windows: how many other rows of the picture a row has to contain, to a pixel, to be a sample. 0: each row is
            one, and none has windows.
        **kwargs: arguments of MMPose's ``BaseCocoStyleDataset``.
    """

    METAINFO: dict = {}

    def __init__(self, ann_file: str = '', *, metainfo: dict | None = None, windows: int = 0, **kwargs) -> None:
        if not metainfo:
            raise ValueError(f"metainfo={metainfo!r} must name the keypoints of the tags, such as "
                             "dict(from_file='configs/_base_/datasets/coco.py')")
        if kwargs.get('data_mode', 'topdown') != 'topdown':
            raise ValueError(f"data_mode={kwargs['data_mode']!r} must be 'topdown'")
        if kwargs.get('test_mode') or kwargs.get('bbox_file'):
            raise ValueError('PresenceTagDataset has no locations to test against: it is for training')
        if isinstance(windows, bool) or not isinstance(windows, int) or windows < 0:
            raise ValueError(f'windows={windows!r} must be a whole number, 0 or more')
        self.windows = windows
        super().__init__(ann_file=ann_file, metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict]:
        names = [self.metainfo['keypoint_id2name'][index] for index in range(self.metainfo['num_keypoints'])]
        rows = read_tag_table(self.ann_file, names)
        sizes, problems, data_list = {}, [], []
        for number, row in enumerate(rows):
            path = osp.join(self.data_prefix.get('img', ''), row.image)
            try:
                if path not in sizes:
                    sizes[path] = (len(sizes), _read_size(path))
                image_id, size = sizes[path]
                data_list.append(self._data_info(row, number, path, image_id, size))
            except (OSError, ValueError) as error:
                problems.append(f'line {row.line}: {error}')
        if problems:
            more = f'; and {len(problems) - 5} more' if len(problems) > 5 else ''
            raise ValueError(f'{self.ann_file}, {"; ".join(problems[:5])}{more}')
        return self._with_windows(data_list) if self.windows else data_list

    def _with_windows(self, data_list: list[dict]) -> list[dict]:
        """The rows that contain enough others of their picture, with these and with those that they cut."""
        pictures = {}
        for place, info in enumerate(data_list):
            pictures.setdefault(info['img_id'], []).append(place)
        samples, most = {}, 0
        for places in pictures.values():
            boxes = np.concatenate([data_list[place]['bbox'] for place in places])
            presence = np.concatenate([data_list[place]['keypoints_visible'][..., 1] for place in places])
            for own, place in enumerate(places):
                inside = ((boxes[:, :2] >= boxes[own, :2] - _SLACK) & (boxes[:, 2:] <= boxes[own, 2:] + _SLACK)).all(1)
                inside[own] = False
                number = int(np.count_nonzero(inside))
                most = max(most, number)
                if number >= self.windows:
                    beside = _overlap(boxes, boxes[own])
                    beside[own] = False
                    samples[place] = dict(data_list[place], window_boxes=boxes[beside],
                                          window_presence=presence[beside])
        if not samples:
            raise ValueError(f'{self.ann_file} has no row whose box contains windows={self.windows} others of its '
                             f'picture: the most that one contains is {most}')
        return [samples[place] for place in sorted(samples)]

    def _data_info(self, row: TagRow, number: int, path: str, image_id: int, size: tuple) -> dict:
        present = np.array([row.present], dtype=np.float32)
        return dict(
            id=number,
            img_id=image_id,
            img_path=path,
            bbox=_cut(row.box, size),
            bbox_score=np.ones(1, dtype=np.float32),
            keypoints=np.zeros((*present.shape, 2), dtype=np.float32),
            # weight in targets, and presence: flips take both along
            keypoints_visible=np.stack([np.zeros_like(present), present], axis=-1),
            presence_only=True,
            num_keypoints=int(present.sum()),
            category_id=1,
            iscrowd=0)


def _overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(N,): whether boxes (N, 4), from corner to corner, share some area with this one."""
    return (np.minimum(boxes[:, 2:], box[2:]) > np.maximum(boxes[:, :2], box[:2])).all(axis=1)


def _cut(box: tuple | None, size: tuple) -> np.ndarray:
    """(1, 4), from corner to corner, as MMPose cuts boxes to the picture."""
    width, height = size
    if box is None:
        return np.array([[0, 0, width, height]], dtype=np.float32)
    x, y, w, h = box
    corners = np.array([[x, y, x + w, y + h]], dtype=np.float32).clip(0, [[width - 1, height - 1] * 2])
    if (corners[:, 2:] <= corners[:, :2]).any():
        raise ValueError(f'box {x:g} {y:g} {w:g} {h:g} lies outside of the picture, which is {width} x {height}')
    return corners.astype(np.float32)


def _read_size(path: str) -> tuple[int, int]:
    """Width and height as MMPose reads the picture, without its pixels."""
    if not osp.isfile(path):
        raise FileNotFoundError(f'{path} is not there')
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(_ORIENTATION) in _TURNED
            return image.size[::-1] if turned else image.size
    except UnidentifiedImageError as error:
        raise ValueError(f'{path} is not an image') from error
