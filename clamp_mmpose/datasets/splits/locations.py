from __future__ import annotations

import hashlib
import json
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from .coco_file import read_coco
from .draw import draw
from .fraction import parse_percent, percent_text
from .split_file import provenance


class LocationDraw:
    """Draws the instances that keep their locations when the others are trained on presence alone, LOFR's Table 4.

    Of a COCO-style file these are ids of annotations that MMPose trains on; of a file in the layout of
    mpii_train.json, numbers of its records, from 0. With one seed, a larger share contains a smaller one.
    """

    def __init__(self, path) -> None:
        path = Path(path)
        if _is_list(path):
            content = path.read_bytes()
            try:
                records = json.loads(content)
            except ValueError as error:
                raise ValueError(f'{path} is not a complete JSON file: {error}') from error
            wrong = [number for number, record in enumerate(records)
                     if not isinstance(record, dict) or not {'image', 'joints', 'joints_vis'} <= set(record)]
            if wrong:
                raise ValueError(f'{path}: record {wrong[0]} has no image, joints and joints_vis, as those of '
                                 'mpii_train.json have')
            self.kind, self.ids = 'numbers of records', list(range(len(records)))
            self.source = dict(file=path.name, sha256=hashlib.sha256(content).hexdigest())
        else:
            file = read_coco(path, '--ann')
            self.kind, self.ids = 'ids of annotations', [annotation['id'] for annotation in file.usable()]
            self.source = file.source
        self.stem = path.name[:-5] if path.name.endswith('.json') else path.name
        if not self.ids:
            raise ValueError(f'{path} has no instance with labelled keypoints to draw from')

    def draw(self, percent: str, seed: int) -> tuple[str, int, bytes]:
        """Name of the file, number of instances and content. At least one instance."""
        share = parse_percent(percent)
        number = int((len(self.ids) * share / 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))
        chosen = set(draw(self.ids, max(number, 1), seed=seed, protocol='locations'))
        located = [key for key in self.ids if key in chosen]
        about = provenance('locations', [self.source], dict(percent=percent_text(share), seed=seed), ids=self.kind,
                           counts=dict(instances=len(self.ids), located=len(located)))
        content = json.dumps(dict(provenance=about, located=located)).encode()
        return f'{self.stem}_locations-{percent_text(share)}pct-seed{seed}.json', len(located), content


def _is_list(path: Path) -> bool:
    """Whether the file holds a JSON list, seen from its first character."""
    if not path.is_file():
        return False  # read_coco says so
    with open(path, 'rb') as file:
        return file.read(4096).lstrip(b'\xef\xbb\xbf \t\r\n')[:1] == b'['
