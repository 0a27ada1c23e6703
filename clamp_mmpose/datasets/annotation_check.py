from __future__ import annotations

import json
import mmap
import os
from collections import Counter

_CATEGORIES_LIMIT = 4 * 2**20  # bytes; more than any list of classes takes


class AnnotationCheck:
    """Refuses an annotation file that has nothing to learn from, and says what is in it instead.

    A mixin for MMPose's COCO-style datasets, which skip instances without keypoints and then fail on an empty list, far
    from the cause. Raises ValueError, naming the file, when it is no JSON, holds no usable instance, or has another
    number of keypoints than the dataset's metainfo.
    """

    def load_data_list(self) -> list[dict]:
        try:
            data_list = super().load_data_list()
        except json.JSONDecodeError as error:
            raise ValueError(f'ann_file={self.ann_file!r} is not a complete JSON file: {error}') from error
        except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            # MMPose asserts that the file exists, and says so.
            if not os.path.exists(self.ann_file):
                raise
            raise ValueError(f'ann_file={self.ann_file!r} cannot be read as COCO annotations with keypoints'
                             f'{self._culprit()} ({type(error).__name__}: {error})') from error
        if not data_list:
            raise ValueError(f'{type(self).__name__}: {self.bbox_file or self.ann_file!r} gives no instance to use'
                             f'{self._why_empty()}')
        expected = len(self.metainfo['keypoint_id2name'])
        found = {info['keypoints'].shape[1] for info in data_list}
        if found != {expected}:
            raise ValueError(f'{type(self).__name__}: the instances of ann_file={self.ann_file!r} have '
                             f'{sorted(found)} keypoints, its metainfo names {expected}')
        return data_list

    def _culprit(self) -> str:
        """The first annotation whose keypoints or box have no proper form."""
        with open(self.ann_file, encoding='utf-8') as file:
            content = json.load(file)
        if not isinstance(content, dict):
            return f': it is a {type(content).__name__}, not a dict of images, annotations and categories'
        for name in ('images', 'annotations', 'categories'):
            if not isinstance(content.get(name), list):
                return f': it has no list of {name}'
        num_values = 3 * len(self.metainfo['keypoint_id2name'])
        for annotation in content['annotations']:
            for name, count in (('keypoints', num_values), ('bbox', 4)):
                value = annotation.get(name) if isinstance(annotation, dict) else None
                if name in annotation and (not isinstance(value, list) or len(value) != count):
                    return f': {name} of annotation {annotation.get("id")} must be a list of {count} numbers'
        return ''

    def _why_empty(self) -> str:
        with open(self.ann_file, encoding='utf-8') as file:
            annotations = json.load(file).get('annotations', [])
        reasons = Counter(_why_unused(annotation) for annotation in annotations)
        found = ', '.join(f'{count} {reason}' for reason, count in reasons.items()) or 'it has none'
        return (f'. Of its {len(annotations)} annotations: {found}. An instance needs bbox (x, y, w, h) and keypoints '
                '(x, y, v for each), at least one of them labelled')


def _why_unused(annotation: dict) -> str:
    for key in ('keypoints', 'bbox'):
        if key not in annotation:
            return f'without {key!r}'
    if annotation.get('iscrowd'):
        return 'of a crowd'
    if not any(annotation['keypoints'][2::3]):
        return 'without a labelled keypoint'
    return 'with an empty box, or of an image that is not listed'


def read_categories(ann_file: str | None) -> list[str] | None:
    """Names of the categories of a COCO annotation file in its order, read without the rest; None if it has none."""
    if not ann_file or not os.path.isfile(ann_file) or not os.path.getsize(ann_file):
        return None
    with open(ann_file, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.rfind(b'"categories"')
        if start < 0:
            return None
        text = content[start:start + _CATEGORIES_LIMIT].decode('utf-8', errors='ignore')
    try:
        categories = json.JSONDecoder().raw_decode(text.split(':', 1)[1].lstrip())[0]
        return [category['name'] for category in categories]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
