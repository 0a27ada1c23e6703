"""Annotation files of the toy data, in the released formats of AP-10K, COCO and MPII."""
from __future__ import annotations

import json
import os
from pathlib import Path

from .keypoint_formats import ap10k_categories


def write_ap10k(path: Path, images: list, annotations: list) -> None:
    """An AP-10K file. images: id, file_name, width, height, background; annotations: without id."""
    write_json(path, dict(
        info=dict(description='AP-10K style annotations of drawn animals', url='', version='1.0', year=2024,
                  contributor='clamp_mmpose', date_created='2024/01/01'),
        licenses=[dict(id=1, name='Apache License 2.0', url='https://www.apache.org/licenses/LICENSE-2.0')],
        images=[dict(license=1, **image) for image in images],
        annotations=[dict(id=number, **annotation) for number, annotation in enumerate(annotations, start=1)],
        categories=ap10k_categories()))


def write_json(path: Path, content, *, indent: int | None = None) -> None:
    """Writes the whole file or nothing, so that an interrupted run leaves no half file."""
    partial = path.with_name(path.name + '.partial')
    partial.write_text(json.dumps(content, indent=indent))
    os.replace(partial, path)
