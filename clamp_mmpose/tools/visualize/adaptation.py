"""Keypoints moving over the steps of MeTTA."""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .subject import Subject, paged, to_csv

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure

HELP = ('the pose before and after test-time adaptation, the path of each keypoint over the steps, and the auxiliary '
        'loss: adaptation.png, adaptation.csv')


def add_arguments(parser: _ArgumentGroup) -> None:
    parser.add_argument('--steps', type=int, metavar='N',
                        help="of gradient descent per image (default: the config's test_cfg.adaptation, else those of "
                        'inner_loop)')
    parser.add_argument('--lr', type=float, metavar='RATE', help='their size (default: likewise)')
    parser.add_argument('--no-guard', action='store_true',
                        help='does not mark images whose auxiliary loss has not fallen, which keep the pose of step 0 '
                        '(default: likewise, and marks them where the config has no test_cfg.adaptation)')


def missing(subject: Subject) -> str:
    from ...models.heads.adaptable_head import missing_for_adaptation
    from ...models.pose_estimators import MeTTAPoseEstimator
    model = subject.model
    if isinstance(model, MeTTAPoseEstimator):
        return ''
    head = getattr(model, 'head', None)
    lacks = head is not None and missing_for_adaptation(head)
    words = f', and its head {type(head).__name__} lacks {" and ".join(lacks)}' if lacks else ''
    return f'a model that adapts, MeTTAPoseEstimator; this is {type(model).__name__}{words}'


def draw(subject: Subject) -> Iterator[tuple[str, Figure | str]]:
    from ... import visualization
    args, model, meta = subject.args, subject.model, subject.dataset.metainfo
    usual = model.adaptation
    steps = args.steps
    if steps is None:
        steps = (usual or model.inner_loop).steps
    if steps < 1:
        raise ValueError(f'--steps {steps} must be 1 or more')
    if args.lr is not None and not 0 < args.lr < float('inf'):
        raise ValueError(f'--lr {args.lr:g} must be greater than 0')
    lr = args.lr or (usual and usual.lr)
    guard = not args.no_guard and (usual is None or usual.guard)
    traces = [visualization.trace_adaptation(model, subject.dataset, index, steps=steps, lr=lr, guard=guard)
              for index in subject.indices]
    for name, page in paged('adaptation.png', traces):
        yield name, visualization.draw_adaptation(page, meta, kpt_thr=args.kpt_thr)
    yield 'adaptation.csv', to_csv(visualization.ADAPTATION_COLUMNS,
                                   visualization.adaptation_table(traces, subject.names))
