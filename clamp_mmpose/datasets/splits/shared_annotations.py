from __future__ import annotations

import re
from dataclasses import replace

from .coco_file import CocoFile
from .keypoint_places import PLACES
from .shared_keypoints import SharedKeypoints
from .split_file import SplitFile, count, provenance

_WORDS = {'l': 'left', 'r': 'right', 'f': 'front', 'b': 'back', 'of': ''}


def convert_annotations(file: CocoFile, dataset: str, shared: SharedKeypoints) -> tuple[SplitFile, list]:
    """A COCO-style file of ``dataset`` with the shared keypoints alone, all its pictures and instances kept.

    ``num_keypoints`` is counted anew: an instance that keeps no labelled keypoint is one that MMPose does not draw and
    ``CocoMetric`` ignores. Returns the file and the remarks for its reader.

    Raises ValueError when the annotations do not have the keypoints of ``dataset``.
    """
    number, mapping = len(PLACES[dataset]), shared.mapping(dataset)
    for category in file.categories.values():
        _check_names(category, dataset, file)
    annotations = []
    for annotation in file.annotations.values():
        if 'keypoints' in annotation:
            values = annotation['keypoints']
            if not isinstance(values, list) or len(values) != 3 * number:
                found = f'{len(values) / 3:g} keypoints' if isinstance(values, list) else repr(values)
                raise ValueError(f'annotation {annotation["id"]} of {file.name} has {found}, {dataset} has {number}')
            kept = [value for index, _ in mapping for value in values[3 * index:3 * index + 3]]
            annotation = dict(annotation, keypoints=kept, num_keypoints=sum(flag > 0 for flag in kept[2::3]))
        annotations.append(annotation)
    links = [[shared.keypoint_names.index(name.replace('_', ' ')) + 1 for name in link['link']]
             for link in shared.metainfo['skeleton_info'].values()]
    categories = {}
    for key, category in file.categories.items():
        if 'keypoints' in category:
            category = dict(category, keypoints=[name.replace(' ', '_') for name in shared.keypoint_names],
                            skeleton=links)
        categories[key] = category
    like = replace(file, categories=categories, annotations={a['id']: a for a in annotations})
    images = list(file.images.values())
    counts, before = count(like, images, annotations), len(file.usable())
    if not counts['usable_instances']:
        raise ValueError(f'{file.name} has no instance with a labelled keypoint among those that {shared.a} and '
                         f'{shared.b} share')
    lost = before - counts['usable_instances']
    remarks = [f'{file.name}: {lost} instances have none of the shared keypoints labelled'] if lost else []
    about = provenance('common', [file.source], dict(a=shared.a, b=shared.b, loose=shared.loose),
                       dataset=dataset, keypoint_names=shared.keypoint_names, mapping=mapping, counts=counts)
    return SplitFile(f'{file.stem}_common-{shared.title}.json', like, images, annotations, about), remarks


def _check_names(category: dict, dataset: str, file: CocoFile) -> None:
    """AP-10K, COCO and Human3.6M all have 17 keypoints: where the file names its own, most must be the dataset's."""
    listed = category.get('keypoints')
    if not isinstance(listed, list) or not listed:
        return
    names = list(PLACES[dataset])
    same = sum(_words(str(one)) == _words(other) for one, other in zip(listed, names))
    if len(listed) != len(names) or same < len(names) / 2:
        raise ValueError(f'{file.name} lists the keypoints {", ".join(map(str, listed[:5]))}, ...: these are not '
                         f'those of {dataset}: {", ".join(names[:5])}, ...')


def _words(name: str) -> list[str]:
    """'L_F_Elbow' and 'left front elbow' are one, 'root_of_tail' and 'tail root' as well."""
    words = re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', name).replace('_', ' ').replace('-', ' ').lower().split()
    return sorted(filter(None, (_WORDS.get(word, word) for word in words)))
