"""Fig. 7 of the BLIP pose captions."""
from __future__ import annotations

import copy
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .subject import NO_CAPTIONS, Subject, load_weights, paged

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure

    from ...visualization import PoseView

HELP = ('the pose of each caption over its words, beside the ground truth, at several --checkpoints (Fig. 7): '
        'captions.png, captions.csv')


def add_arguments(parser: _ArgumentGroup) -> None:
    parser.add_argument('--checkpoints', nargs='+', metavar='PTH',
                        help='weights from earlier in the training, to see beside CHECKPOINT, such as epoch_1.pth')


def missing(subject: Subject) -> str:
    return '' if subject.codec else NO_CAPTIONS


def draw(subject: Subject) -> Iterator[tuple[str, Figure | str]]:
    from ...visualization import caption_error, draw_captions, label_cell, prediction_cell
    codec, last = subject.codec, subject.views
    stages = {title: last if path is None else _view_with(path, subject)
              for title, path in _titles(subject.args.checkpoints or [], subject.args.checkpoint).items()}
    for name, rows in paged('captions.png', range(len(last))):
        columns = {'ground truth' if subject.annotated else 'image': [label_cell(last[row], codec) for row in rows]}
        columns.update((title, [prediction_cell(views[row], codec) for row in rows]) for title, views in stages.items())
        yield name, draw_captions([last[row] for row in rows], columns, subject.dataset.metainfo)
    text = io.StringIO()
    table = csv.writer(text, lineterminator='\n')
    table.writerow(['image', 'weights', 'mean error in input pixels', 'parses', 'caption'])
    for title, views in stages.items():
        for view in views:
            caption, error = view.sample.pred_caption, caption_error(view, codec)
            table.writerow([view.name, title, f'{error:.4g}' if error == error else '', int(caption['ok']),
                            caption['caption']])
    yield 'captions.csv', text.getvalue()


def _titles(earlier: Sequence[str], last: str) -> dict[str, str | None]:
    """Short names of the checkpoints, each once, in order; that of ``last`` stands for None."""
    paths = list(dict.fromkeys(map(Path, [*earlier, last])))
    stems = [path.stem for path in paths]
    titles = [path.stem if stems.count(path.stem) == 1 else str(path) for path in paths]
    return {title: None if path == Path(last) else str(path) for title, path in zip(titles, paths)}


def _view_with(checkpoint: str, subject: Subject) -> list[PoseView]:
    from mmpose.models import build_pose_estimator

    from ...visualization import view_instances
    model = build_pose_estimator(copy.deepcopy(subject.initial_model))
    load_weights(model, checkpoint)
    return view_instances(model.to(subject.args.device).eval(), subject.dataset, subject.indices)
