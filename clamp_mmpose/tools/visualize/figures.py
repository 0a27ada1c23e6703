"""The figures that `visualize` knows.

Each is a module of this folder with

- ``HELP``, one line about it;
- ``add_arguments(parser)`` for the options that are its own;
- ``missing(subject) -> str``, what it needs and the model, images or options do not have; '' if there is all of it;
- ``draw(subject)``, which yields the name of each file with a Figure of matplotlib, with the text of the file, or with
  None where it has written the file itself;
- ``NEEDS_MODEL = False`` if it is drawn of no model: then the two get the options alone in place of a subject.

Heavy imports stay inside its functions.
"""
from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType

FIGURES = {
    'poses': 'poses',
    'score-maps': 'score_maps',
    'score-map-overlay': 'score_map_overlay',
    'similarity': 'similarity',
    'comparison': 'comparison',
    'prompts': 'prompts',
    'captions': 'captions',
    'masking': 'masking',
    'self-attention': 'self_attention',
    'inpainting': 'inpainting',
    'response-maps': 'response_maps',
    'prototypes': 'prototypes',
    'adaptation': 'adaptation',
    'adaptation-curve': 'adaptation_curve',
}
DEFAULT = ('poses', 'score-maps', 'captions', 'response-maps')  # as far as the model gives them


def load_figure(name: str) -> ModuleType:
    return importlib.import_module(f'{__package__}.{FIGURES[name]}')


def needs_model(name: str) -> bool:
    return getattr(load_figure(name), 'NEEDS_MODEL', True)


def choose_figures(wanted: Sequence[str] | None) -> list[str]:
    """The figures of ``--figure``, in their own order; raises ValueError for an unknown one."""
    if wanted is None:
        return list(DEFAULT)
    unknown = [name for name in wanted if name not in (*FIGURES, 'all')]
    if unknown:
        raise ValueError(f'--figure {" ".join(unknown)}: there are {", ".join(FIGURES)}, and all')
    return [name for name in FIGURES if name in wanted or 'all' in wanted]
