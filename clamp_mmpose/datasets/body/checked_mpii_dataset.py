from __future__ import annotations

import json
from os.path import isfile

import numpy as np
from mmpose.datasets.datasets.body import MpiiDataset
from mmpose.registry import DATASETS

from ..mpii import check_record


@DATASETS.register_module()
class CheckedMpiiDataset(MpiiDataset):
    """MMPose's MPII dataset with joints in the pixels of the image: the top left one is (0, 0).

    The files count from 1. MMPose 1.x moves centre and box by one pixel and leaves the joints, so that they lie beside
    what they mark, and after a flip on its other side. Its ``MpiiPCKAccuracy`` adds the pixel to predictions; use
    ``ZeroBasedMpiiPCKAccuracy``.

    ``use_marks``: ``keypoints_visible`` is ``is_visible`` of the records, 0 for joints that are annotated and hidden;
    `clamp-mmpose prepare-mpii-captions` writes it where it comes from MPII's own file. By default a joint is visible if
    it is annotated, as in MMPose.

    Raises ValueError, naming the file, where a record or the file of head boxes does not fit.
    """

    def __init__(self, *args, use_marks: bool = False, **kwargs) -> None:
        self.use_marks = use_marks
        super().__init__(*args, **kwargs)

    def _load_annotations(self) -> tuple[list[dict], list[dict]]:
        records = self._read_records()
        try:
            instances, images = super()._load_annotations()
        except IndexError as error:
            raise self._other_head_boxes('fewer', records) from error
        if self.headbox_file and self.headbox_dict['headboxes_src'].shape[-1] != len(records):
            raise self._other_head_boxes('more', records)
        for instance, record in zip(instances, records):
            instance['keypoints'] -= 1
            if self.use_marks:
                instance['keypoints_visible'] = np.array(record['is_visible']).reshape(1, -1)
        return instances, images

    def _other_head_boxes(self, number: str, records: list) -> ValueError:
        return ValueError(f'headbox_file={self.headbox_file!r} has {number} head boxes than the {len(records)} records '
                          f'of ann_file={self.ann_file!r}: give the .mat file that was written with it')

    def _read_records(self) -> list[dict]:
        if not isfile(self.ann_file):
            raise FileNotFoundError(f'ann_file={self.ann_file!r} is not there')
        with open(self.ann_file, encoding='utf-8') as file:
            try:
                records = json.load(file)
            except ValueError as error:
                raise ValueError(f'ann_file={self.ann_file!r} is not a complete JSON file: {error}') from error
        if not isinstance(records, list) or not records:
            raise ValueError(f'ann_file={self.ann_file!r} must be a list of records in the layout of mpii_train.json')
        for number, record in enumerate(records):
            problem = check_record(record) or self._problem(record)
            if problem:
                raise ValueError(f'ann_file={self.ann_file!r}: {problem} (record {number})')
        return records

    def _problem(self, record: dict) -> str:
        if not record['image'].split('.')[0].isdigit():
            return f'image={record["image"]!r} must be a number and a suffix, such as 015601864.jpg'
        if self.use_marks and len(record.get('is_visible', ())) != len(record['joints']):
            return ("use_marks=True needs is_visible of every joint, which `clamp-mmpose prepare-mpii-captions` writes "
                    "from MPII's own .mat file")
        return ''
