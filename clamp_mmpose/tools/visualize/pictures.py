"""Images of the user's choice, without labels, as a dataset."""
from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import mmengine
import numpy as np

from ...apis.inputs import IMAGE_SUFFIXES


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


def find_boxes(file: str, pictures: Sequence[Path]) -> list[tuple[Path, Sequence[float]]]:
    """The boxes that a COCO annotation file has for each of the pictures, which it knows by their names.

    Pictures without a box are left out, with a note. Raises ValueError if there is no other.
    """
    content = mmengine.load(file)
    if not isinstance(content, dict) or not {'images', 'annotations'} <= content.keys():
        raise ValueError(f'--boxes {file}: a dict of images and annotations is needed, as in COCO')
    boxes: dict[int, list] = {}
    for annotation in content['annotations']:
        box = annotation.get('bbox')
        if not isinstance(box, list) or len(box) != 4 or not np.isfinite(box).all() or min(box[2:]) <= 0:
            raise ValueError(f'--boxes {file}: bbox={box} of annotation {annotation.get("id")} must be x, y, w, h with '
                             'w and h above 0')
        boxes.setdefault(annotation['image_id'], []).append(tuple(box))
    images: dict[str, list] = {}
    for image in content['images']:
        images.setdefault(Path(image['file_name']).name, []).append(image)
    found = {path: boxes.get(_match(path, images.get(path.name, []), file), []) for path in pictures}
    without = [path for path in pictures if not found[path]]
    if len(without) == len(pictures):
        raise ValueError(f'--boxes {file} has no box for any of the {len(pictures)} images')
    if without:
        print(f'visualize: {len(without)} of {len(pictures)} images have no box in {file} and are left out, such as '
              f'{without[0]}', file=sys.stderr)
    return [(path, box) for path in pictures for box in found[path]]


def _match(path: Path, images: Sequence[dict], file: str) -> int | None:
    """The id of the image that the path means; folders decide between several of one name."""
    parts = path.resolve().parts
    names = [Path(image['file_name']).parts for image in images]
    exact = [image for image, name in zip(images, names) if parts[-len(name):] == name]
    chosen = exact or images
    if len(chosen) > 1:
        raise ValueError(f'--boxes {file} has {len(chosen)} images that {path} may be: '
                         f'{", ".join(image["file_name"] for image in chosen[:3])}')
    return chosen[0]['id'] if chosen else None


def _read_size(path: Path) -> tuple[int, int]:
    """Width and height as MMPose will read the image, turned as its EXIF data say."""
    import mmcv
    image = mmcv.imread(str(path))
    if image is None:
        raise ValueError(f'--images {path} is not an image that OpenCV can read')
    return image.shape[1], image.shape[0]
