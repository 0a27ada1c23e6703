"""`clamp-mmpose evidence`: what the parts of a method are worth on toy data, in trainings of the same length."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..commands import attempt
from . import adaptation, captions, language, presence

HELP = 'train toy models with and without the parts of a method, several seeds each; hours on two cores'
METHODS = {'language': language.compare, 'captions': captions.compare, 'adaptation': adaptation.compare,
           'presence': presence.compare}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--what', nargs='+', default=list(METHODS), metavar='METHOD',
                        help=f'of {", ".join(METHODS)}; default: all')
    parser.add_argument('--out', type=Path, default=Path('docs', 'evidence.md'), help='default: %(default)s')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], metavar='S', help='default: 0 1 2')
    parser.add_argument('--epochs', type=int,
                        help='of each training; default: 15 for language, 40 for captions, as configured for '
                             'adaptation and presence')
    parser.add_argument('--train', type=int, help='training pictures; default: 300 for language, 6000 for captions, '
                                                  '1500 for adaptation and presence')
    parser.add_argument('--only', nargs='+', metavar='WORD',
                        help='language: configs whose name contains one of these; presence: models')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs', 'evidence'), help='default: %(default)s')


def run(args: argparse.Namespace) -> int:
    """Trains each variant with each seed and writes the tables. Returns 1 if a command fails."""
    unknown = [name for name in args.what if name not in METHODS]
    if unknown:
        print(f'evidence: error: --what {" ".join(unknown)}: there are {", ".join(METHODS)}', file=sys.stderr)
        return 2
    return attempt(lambda: [METHODS[name](args) for name in METHODS if name in args.what])
