"""MPII in MMPose's layout: ``mpii_train.json``, ``mpii_val.json``, ``mpii_trainval.json``."""
from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .person import NUM_JOINTS, MpiiPerson

_FIELDS = ('image', 'joints', 'joints_vis', 'center', 'scale')


def read_pose_json(paths: Sequence[Path]) -> tuple[list[MpiiPerson], dict, list]:
    """The people of whose image the files have one record, what comes nearest to ``single_person``, which they lack.

    A record that stands in two files, such as those of trainval, is one. Returns the people, how many images were left
    at each step, and remarks. Raises ValueError when a file has another layout.
    """
    records, repeated = {}, 0
    for path in paths:
        for record in _load(path):
            key = json.dumps(record, sort_keys=True)
            repeated += key in records
            records[key] = record
    times = Counter(record['image'] for record in records.values())
    people = [_person(record) for record in records.values() if times[record['image']] == 1]
    counts = {'images': len(times), 'with exactly one record': len(people),
              'whose person has annotated joints': sum(bool(person.annotated.any()) for person in people)}
    remarks = ['this layout does not say who is alone in an image: images with one record are taken for it, which is '
               'not quite what the .mat file says']
    if repeated:
        remarks.append(f'{repeated} records stand in the files twice')
    return people, counts, remarks


def _person(record: dict) -> MpiiPerson:
    joints = np.array(record['joints'], dtype=float)
    joints[np.array(record['joints_vis']) <= 0] = np.nan
    center = tuple(record['center'])
    return MpiiPerson(record['image'], joints, None, None if -1 in center else center, float(record['scale']))


def _load(path: Path) -> list[dict]:
    try:
        content = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not a complete JSON file: {error}') from error
    if not isinstance(content, list):
        raise ValueError(f"{path} is a {type(content).__name__}, not a list of records as MMPose's mpii_train.json is")
    for number, record in enumerate(content):
        problem = check_record(record)
        if problem:
            raise ValueError(f'{path}: {problem} (record {number})')
    return content


def check_record(record) -> str:
    """What is wrong with a record of an MPII file; empty if nothing is."""
    if not isinstance(record, dict):
        return f'a record is a {type(record).__name__}, not a dict with {", ".join(_FIELDS)}'
    missing = [name for name in _FIELDS if name not in record]
    if missing:
        test = '; the test images have no joints' if 'joints' in missing else ''
        return f'a record has no {" and ".join(missing)}{test}'
    if not isinstance(record['image'], str) or not record['image']:
        return f'image={record["image"]!r} must be the name of a file'
    for name, shape in (('joints', (NUM_JOINTS, 2)), ('joints_vis', (NUM_JOINTS, )), ('center', (2, )), ('scale', ())):
        try:
            fits = np.array(record[name], dtype=float).shape == shape
        except (TypeError, ValueError):
            fits = False
        if not fits:
            size = ' x '.join(map(str, shape))
            return f'{name} of {record["image"]} must be {f"{size} numbers" if size else "a number"}'
    return ''
