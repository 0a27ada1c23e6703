"""Fig. 6 of LOFR."""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .subject import Subject, load_initial_model, to_csv

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure

HELP = ("inner products of LOFR's pose prototypes, mean of --mean-over images, and --before training (Fig. 6): "
        'prototypes.png, prototypes.csv')


def add_arguments(parser: _ArgumentGroup) -> None:
    parser.add_argument('--products', default='cosine', metavar='KIND',
                        help='cosine, which the length of a prototype does not change, or dot (default: cosine)')


def missing(subject: Subject) -> str:
    from ...visualization import missing_for_prototypes
    head = getattr(subject.model, 'head', None)
    lacks = missing_for_prototypes(head)
    name = type(subject.model if head is None else head).__name__
    return f'a head with pose prototypes, LOFRHead; {name} has no {", ".join(lacks)}' if lacks else ''


def draw(subject: Subject) -> Iterator[tuple[str, Figure | str]]:
    from ... import visualization
    kind, panels = subject.args.products, {}
    stages = {'': subject.model}
    if subject.args.before:
        stages = {'before training, ': load_initial_model(subject), 'after training, ': subject.model}
    for stage, model in stages.items():
        found = visualization.prototype_products(model, subject.dataset, subject.many, kind)
        panels.update((stage + name, matrix) for name, matrix in found.items())
    names, meta = subject.names, subject.dataset.metainfo
    yield 'prototypes.png', visualization.draw_prototypes(
        panels, names, meta, kind=kind, title=f'mean of {len(subject.many)} images')
    yield 'prototypes.csv', to_csv([*visualization.RELATION_COLUMNS, *names],
                                   visualization.relation_table(panels, names, meta, kind=kind))
