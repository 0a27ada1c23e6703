"""Fig. 9 of the BLIP pose captions."""
from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .subject import NO_CAPTIONS, Subject

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure

HELP = ('what the text decoder looks at while it writes the caption, a page each (Fig. 9): self_attention_N.png, '
        'self_attention.csv')
_PAPERS_HEAD = 8


def add_arguments(parser: _ArgumentGroup) -> None:
    parser.add_argument('--layer', type=int, metavar='N', help='of the text decoder, from 1 (default: the last)')
    parser.add_argument('--head', metavar='N',
                        help=f"of that layer, from 1, or mean (default: the paper's, {_PAPERS_HEAD}; the last where "
                        'there are fewer)')


def missing(subject: Subject) -> str:
    return '' if subject.codec else NO_CAPTIONS


def draw(subject: Subject) -> Iterator[tuple[str, Figure | str]]:
    from ... import visualization
    model, codec, args = subject.model, subject.codec, subject.args
    sizes = model.blip.config.text_config
    layer = _number('--layer', args.layer, sizes.num_hidden_layers, sizes.num_hidden_layers)
    head = None
    if args.head != 'mean':
        head = _number('--head', args.head, sizes.num_attention_heads, min(_PAPERS_HEAD, sizes.num_attention_heads))
    where = f'layer {layer} of {sizes.num_hidden_layers}'
    where += f', head {head} of {sizes.num_attention_heads}' if head else f', mean of {sizes.num_attention_heads} heads'
    text = io.StringIO()
    table = csv.writer(text, lineterminator='\n')
    table.writerow(visualization.ATTENTION_COLUMNS)
    for number, (index, view) in enumerate(zip(subject.indices, subject.views), 1):
        attention = visualization.attend(model, subject.dataset, index, view.sample.pred_caption['tokens'],
                                         layer=layer - 1, head=None if head is None else head - 1)
        table.writerows(attention.table(view.name, layer, head or 'mean', names=codec.names))
        yield f'self_attention_{number}.png', visualization.draw_token_attention(
            attention, codec.names, title=f'{view.name}: {where} of the text decoder')
    yield 'self_attention.csv', text.getvalue()


def _number(option: str, value: str | int | None, count: int, default: int) -> int:
    if value is None:
        return default
    if not str(value).isdecimal() or not 1 <= int(value) <= count:
        other = ', or mean' if option == '--head' else ''
        raise ValueError(f'{option} {value} must be 1 to {count}{other}')
    return int(value)
