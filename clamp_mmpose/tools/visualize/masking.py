"""Fig. 8 of the BLIP pose captions."""
from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .subject import Subject, paged

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure

HELP = ('the prediction when a part of the body is hidden, and the error of each keypoint before and after (Fig. 8): '
        'masking.png, masking_errors.png, masking.csv')
_DEFAULT = ['lower-body', 'upper-body', 'first-four']


def add_arguments(parser: _ArgumentGroup) -> None:
    parser.add_argument('--mask', nargs='+', metavar='PART',
                        help='what to hide, a column each: lower-body, upper-body, first-four (or first-N) of the '
                        "caption, the name of a keypoint, or several joined by + (default: the first three)")
    parser.add_argument('--mask-margin', type=float, default=0.08, metavar='SHARE',
                        help="what is hidden around the keypoints, as a share of the pose's longer side "
                        '(default: %(default)s)')


def missing(subject: Subject) -> str:
    if subject.codec and not subject.codec.has_coordinates:
        return f"a model that says where keypoints are; captions in style='{subject.codec.style}' do not"
    return ''


def draw(subject: Subject) -> Iterator[tuple[str, Figure | str]]:
    from ... import visualization
    args, meta = subject.args, subject.dataset.metainfo
    if not 0 <= args.mask_margin < float('inf'):
        raise ValueError(f'--mask-margin {args.mask_margin} must be 0 or more')
    wanted = args.mask
    if wanted is None:
        wanted = [part for part in _DEFAULT if part == 'first-four' or meta.get(f'{part[:5]}_body_ids')]
    order = subject.codec.joints if subject.codec else None
    parts = visualization.find_parts(wanted, subject.names, meta, order=order)
    rows = [visualization.predict_masked(subject.model, subject.dataset, index, parts, margin=args.mask_margin)
            for index in subject.indices]
    for name, page in paged('masking.png', rows):
        yield name, visualization.draw_masking(page, meta)
    yield 'masking_errors.png', visualization.draw_masking_errors(rows, subject.names)
    text = io.StringIO()
    table = csv.writer(text, lineterminator='\n')
    table.writerow(visualization.MASKING_COLUMNS)
    table.writerows(visualization.masking_table(rows, subject.names))
    yield 'masking.csv', text.getvalue()
