"""Fig. 3 of CLAMP."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .subject import NO_LABELS, NO_PROMPTS, Subject, load_initial_model, to_csv

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure

HELP = ('similarity of keypoint features and prompts before and after training (Fig. 3): similarity_N.png of an image, '
        'similarity_mean.png, similarity.csv')


def add_arguments(parser: _ArgumentGroup) -> None:
    parser.add_argument('--before', metavar='CHECKPOINT',
                        help="weights before training (default: the config's initial ones, CLIP's where it has them)")
    parser.add_argument('--similarity', metavar='KIND',
                        help='logits (exp(logit scale) x cosine, Eq. 7), cosine, or softmax of the logits over the '
                        'prompts (default: logits; cosine for a model without feature loss)')


def missing(subject: Subject) -> str:
    if not subject.annotated:
        return NO_LABELS
    return '' if subject.has_prompts else NO_PROMPTS


def draw(subject: Subject) -> Iterator[tuple[str, Figure | str]]:
    from ... import visualization
    args, dataset = subject.args, subject.dataset
    kind = visualization.choose_similarity(subject.model, args.similarity)
    names = [Path(dataset.get_data_info(index)['img_path']).name for index in subject.indices]
    singles, means, rows = [], [], []
    for stage, model in (('before', load_initial_model(subject)), ('after', subject.model)):
        found = {index: visualization.compute_similarity(model, dataset, index, kind)
                 for index in {*subject.indices, *subject.many}}
        singles.append([found[index] for index in subject.indices])
        mean, count = visualization.mean_similarity([found[index] for index in subject.many])
        means.append(mean)
        for name, values in zip(names, singles[-1]):
            rows += _rows((stage, kind, name), values, np.isfinite(values[:, 0]), subject.names)
        rows += _rows((stage, kind, f'mean of {len(subject.many)}'), mean, count, subject.names)

    def figure(pair: Sequence[np.ndarray], title: str) -> Figure:
        return visualization.draw_similarity(dict(zip(titles, pair)), subject.names, kind=kind, title=title)

    titles = (f'before training\n({Path(args.before).name if args.before else "initial weights"})',
              f'after training\n({Path(args.checkpoint).name})')
    for number, (name, pair) in enumerate(zip(names, zip(*singles)), 1):
        yield f'similarity_{number}.png', figure(pair, name)
    yield 'similarity_mean.png', figure(means, f'mean of {len(subject.many)} animals or people')
    yield 'similarity.csv', to_csv(['weights', 'kind', 'image', 'keypoint', 'seen in', *subject.names], rows)


def _rows(start: Sequence[str], values: np.ndarray, count: np.ndarray, names: Sequence[str]) -> Iterator[list]:
    """A row per keypoint, whose cells are empty where it is not visible."""
    for name, row, seen in zip(names, values, count):
        yield [*start, name, int(seen), *(f'{value:.6g}' if seen else '' for value in row)]
