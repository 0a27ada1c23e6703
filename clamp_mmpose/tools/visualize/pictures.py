"""Images of the user's choice, without labels, as a dataset."""
from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...apis.box_file import BoxFile
from ...apis.frames import Frame
from ...apis.inputs import IMAGE_SUFFIXES, Input


class Pictures:
    """Boxes in image files, in place of one of MMPose's datasets.

    ``boxes``: pairs of a path and (x, y, w, h), or of a path and None for the whole image. Raises ValueError for a file
    that is no image.
    """

    def __init__(self, boxes: Sequence[tuple[Path, Sequence[float] | None]], pipeline: Sequence[dict],
                 metainfo: dict) -> None:
        from mmengine.dataset import Compose
        self.metainfo = metainfo
        self.pipeline = Compose(pipeline)
        sizes = {path: _read_size(path) for path in dict.fromkeys(path for path, _ in boxes)}
        self.boxes = [(path, box or (0, 0, *sizes[path])) for path, box in boxes]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int) -> dict:
        return self.pipeline(self.get_data_info(index))

    def get_data_info(self, index: int) -> dict:
        path, (x, y, w, h) = self.boxes[index]
        return dict(
            id=index,
            img_id=index,
            img_path=str(path),
            bbox=np.array([[x, y, x + w, y + h]], dtype=np.float32),
            bbox_score=np.ones(1, dtype=np.float32),
            **self.metainfo)


def find_pictures(paths: Sequence[str]) -> list[Path]:
    """The files of ``--images``: files as they are, and the images of folders. Raises ValueError if there are none."""
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            files = sorted(file for file in path.rglob('*') if file.is_file())
            inside = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
            if not inside:
                raise ValueError(f'--images {path}: there is no image in this folder')
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(f'--images {path}: there is no such file or folder')
    return list(dict.fromkeys(found))


def find_boxes(file: str, pictures: Sequence[Path], images: str | None = None) -> list[tuple[Path, Sequence[float]]]:
    """The boxes (x, y, w, h) that a file has for each of the pictures: see :class:`PictureBoxes`.

    Pictures without a box are left out, with a note. Raises ValueError if there is no other.
    """
    source = PictureBoxes(file, images, strict=True)
    found, without = [], []
    for path in pictures:
        boxes, = source.find([Frame(Input(str(path), path.name), image=_read(path))])
        found += [(path, (*corners[:2], *(corners[2:] - corners[:2]))) for corners in boxes.xyxy]
        if not len(boxes.xyxy):
            without.append(f'{path}{f" ({boxes.error})" if boxes.error else ""}')
    if not found:
        raise ValueError(f'--boxes {file} has no box for any of the {len(pictures)} images, such as {without[0]}')
    if without:
        print(f'visualize: {len(without)} of {len(pictures)} images have no box in {file} and are left out, such as '
              f'{without[0]}', file=sys.stderr)
    return found


class PictureBoxes(BoxFile):
    """A :class:`BoxFile` for pictures that may have been moved: their own names are enough, if only one image has it.

    Folders decide between several.
    """

    def _find_name(self, path: str) -> str | None:
        exact = super()._find_name(path)
        alike = [name for name in self._entries if Path(name).name == Path(path).name]
        if exact is None and len(alike) > 1:
            raise ValueError(f'--boxes {self.path} has {len(alike)} images that {path} may be: {", ".join(alike[:3])}')
        return exact or next(iter(alike), None)


def _read_size(path: Path) -> tuple[int, int]:
    """Width and height as MMPose will read the image, turned as its EXIF data say."""
    return _read(path).shape[1::-1]


def _read(path: Path) -> np.ndarray:
    import mmcv
    image = mmcv.imread(str(path))
    if image is None:
        raise ValueError(f'--images {path} is not an image that OpenCV can read')
    return image
