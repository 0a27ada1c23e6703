"""Annotation files of the toy data, in the released formats of AP-10K, COCO and MPII."""
from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..mpii import encode_ground_truth
from .keypoint_formats import MPII_KEYPOINTS, ap10k_categories, coco_categories

_LICENSES = [dict(id=1, name='Apache License 2.0', url='https://www.apache.org/licenses/LICENSE-2.0')]


def write_ap10k(path: Path, images: list, annotations: list) -> None:
    """An AP-10K file. images: id, file_name, width, height, background; annotations: without id."""
    _write_coco_style(path, images, annotations, ap10k_categories(), 'AP-10K style annotations of drawn animals')


def write_coco(path: Path, images: list, people: list) -> None:
    """A COCO person keypoint file. people: what ``draw_person_scene`` says, with image_id."""
    annotations = []
    for person in people:
        flags = person['coco_flags']
        points = np.where(flags[:, None] > 0, person['coco_keypoints'], 0)
        annotations.append(dict(
            image_id=person['image_id'], category_id=1, iscrowd=0, bbox=person['bbox'], area=person['area'],
            segmentation=person['segmentation'], num_keypoints=int(np.count_nonzero(flags)),
            keypoints=np.concatenate([points, flags[:, None]], axis=1).ravel().tolist()))
    _write_coco_style(path, images, annotations, coco_categories(), 'COCO style annotations of drawn people')


def write_mpii(path: Path, people: list) -> None:
    """An MPII file in MMPose's layout, pixels counted from 1. people: as above, with file_name."""
    records = []
    for person in people:
        present = person['mpii_flags'] > 0
        joints = np.where(present[:, None], person['mpii_keypoints'] + 1, -1)
        scale = person['standing_height'] / 200
        x, y, w, h = person['bbox']
        # MPII's centres lie higher than the box's: its readers move them down by 15 pixels per unit of scale.
        center = [x + w / 2 + 1, y + h / 2 + 1 - 15 * scale]
        records.append(dict(
            joints_vis=present.astype(int).tolist(), joints=joints.astype(float).tolist(), image=person['file_name'],
            scale=round(scale, 6), center=np.round(center, 2).tolist()))
    write_json(path, records)


def write_mpii_ground_truth(path: Path, people: list) -> None:
    """``mpii_gt_val.mat``, which PCKh takes its head boxes from: one column per record of the json beside it."""
    boxes = np.stack([person['head_box'] for person in people]).reshape(-1, 2, 2) + 1  # (N, corner, x and y)
    present = np.stack([person['mpii_flags'] > 0 for person in people])
    points = np.stack([person['mpii_keypoints'] for person in people]) + 1.
    _replace(path, encode_ground_truth(boxes, points, present, title='toy data', names=MPII_KEYPOINTS))


def write_tags(path: Path, rows: Iterable[tuple]) -> None:
    """A table as ``PresenceTagDataset`` reads it. rows: file name, box (x, y, w, h), names of keypoints."""
    lines = ['image,box,tags', *(f'{image},{" ".join(map(str, box))},{";".join(tags)}' for image, box, tags in rows)]
    _replace(path, '\n'.join([*lines, '']).encode())


def write_json(path: Path, content, *, indent: int | None = None) -> None:
    _replace(path, json.dumps(content, indent=indent).encode())


def _write_coco_style(path: Path, images: list, annotations: list, categories: list, description: str) -> None:
    write_json(path, dict(
        info=dict(description=description, version='1.0', contributor='clamp_mmpose'),
        licenses=_LICENSES,
        images=[dict(license=1, **image) for image in images],
        annotations=[dict(id=number, **annotation) for number, annotation in enumerate(annotations, start=1)],
        categories=categories))


def _replace(path: Path, content: bytes) -> None:
    """Writes the whole file or nothing, so that an interrupted run leaves no half file."""
    partial = path.with_name(path.name + '.partial')
    partial.write_bytes(content)
    os.replace(partial, path)
