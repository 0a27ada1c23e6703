"""Fig. 2 and 3 of MeTTA's supplement."""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .subject import Subject, to_csv

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure

HELP = ("a missing patch of growing size and what MeTTA's auxiliary network paints there, with and without the pose "
        '(Fig. 2, 3): inpainting_N.png, inpainting_errors.png, inpainting.csv')


def add_arguments(parser: _ArgumentGroup) -> None:
    parser.add_argument('--mask-sides', nargs='+', type=float, default=[0.3, 0.5, 0.7, 0.9], metavar='SHARE',
                        help='of height and width of the image that are missing (default: 0.3 0.5 0.7 0.9)')


def missing(subject: Subject) -> str:
    from ...visualization import missing_for_inpainting
    head = getattr(subject.model, 'head', None)
    lacks = missing_for_inpainting(head)
    name = type(subject.model if head is None else head).__name__
    return f'a head that inpaints, such as MeTTAHead; {name} has no {", ".join(lacks)}' if lacks else ''


def draw(subject: Subject) -> Iterator[tuple[str, Figure | str]]:
    from ... import visualization
    sides = list(dict.fromkeys(subject.args.mask_sides))
    for side in sides:
        if not 0 < side <= 1:
            raise ValueError(f'--mask-sides {side:g} must be greater than 0 and at most 1, the whole image')
    wanted = list(dict.fromkeys([*subject.indices, *subject.many]))
    others = [*wanted[1:], wanted[0]] if len(wanted) > 1 else [None]
    found = {index: visualization.inpaint_instance(subject.model, subject.dataset, index, sides, other=other)
             for index, other in zip(wanted, others)}
    for number, index in enumerate(subject.indices, 1):
        yield f'inpainting_{number}.png', visualization.draw_inpainting(found[index])
    yield 'inpainting_errors.png', visualization.draw_inpainting_errors([found[index] for index in subject.many])
    yield 'inpainting.csv', to_csv(visualization.INPAINTING_COLUMNS, visualization.inpainting_table(found.values()))
