from __future__ import annotations

from itertools import chain

from .coco_file import CocoFile, in_order, same_picture


def merge(files: list, stem: str) -> CocoFile:
    """Several annotation files of one dataset as one.

    Where the files give one id to different pictures or instances, all of them are numbered anew from 1, in the order
    of the files. A picture may be in two files if they say the same about it.

    Raises ValueError when they do not, or give one category id two meanings.
    """
    categories, owners, parts = {}, {}, []
    for file in files:
        for key, category in file.categories.items():
            if categories.setdefault(key, category) != category:
                raise ValueError(f'category {key} differs between {_names(files)}: these files cannot be merged')
        annotated = file.by_image()
        for key, image in file.images.items():
            part = (image, annotated.get(key, []))
            other = owners.setdefault(same_picture(image), part)
            if other is part:
                parts.append(part)
            elif other != part:
                raise ValueError(f'{image["file_name"]} is annotated in more than one way in {_names(files)}: these '
                                 'files cannot be merged')
    images = [image for image, _ in parts]
    annotations = list(chain.from_iterable(instances for _, instances in parts))
    if _clash(images) or _clash(annotations):
        images, annotations = _number_anew(parts)
    return CocoFile(name=f'{stem}.json', sha256='', images=_by_id(images), annotations=_by_id(annotations),
                    categories=_by_id(categories.values()), rest=files[0].rest, notes={})


def _clash(records: list) -> bool:
    return len({record['id'] for record in records}) < len(records)


def _number_anew(parts: list) -> tuple[list, list]:
    images, annotations = [], []
    for image, instances in parts:
        images.append(dict(image, id=len(images) + 1))
        for instance in instances:
            annotations.append(dict(instance, id=len(annotations) + 1, image_id=len(images)))
    return images, annotations


def _by_id(records) -> dict:
    return {record['id']: record for record in in_order(records)}


def _names(files: list) -> str:
    return ' and '.join(file.name for file in files)
