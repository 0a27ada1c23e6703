from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .subject import NO_LABELS, NO_PROMPTS, Subject

if TYPE_CHECKING:
    from argparse import _ArgumentGroup

    from matplotlib.figure import Figure

HELP = 'which names confuse each other, and left and right margins: prompts.png, prompts.csv, prompt_pairs.csv'


def add_arguments(parser: _ArgumentGroup) -> None:
    pass


def missing(subject: Subject) -> str:
    if not subject.annotated:
        return NO_LABELS
    return '' if subject.has_prompts else NO_PROMPTS


def draw(subject: Subject) -> Iterator[tuple[str, Figure | None]]:
    from ... import visualization
    diagnostics = visualization.diagnose_prompts(subject.model, subject.dataset, subject.many)
    print(visualization.format_prompt_diagnostics(diagnostics))
    yield 'prompts.png', visualization.draw_prompt_diagnostics(diagnostics)
    for path in visualization.write_prompt_diagnostics(diagnostics, subject.args.out):
        yield path.name, None
