"""The subcommand ``make-toy-data``."""
from __future__ import annotations

import argparse
import sys
import time

from clamp_mmpose.datasets.toy import DOMAINS, KINDS, make_toy_dataset, read_arguments

HELP = 'draw a small annotated dataset of animals or people'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('out', metavar='OUT', help='folder to write: new, empty, or toy data made before')
    parser.add_argument('--kind', default='animals', help=f'what to draw: {", ".join(KINDS)} (default: %(default)s)')
    parser.add_argument('--train', type=int, default=300, metavar='N', help='training pictures (default: %(default)s)')
    parser.add_argument('--val', type=int, default=100, metavar='N', help='validation pictures (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, metavar='S', help='same seed, same bytes (default: %(default)s)')
    parser.add_argument('--domain', default='default', metavar='NAME',
                        help=f'look of the pictures: {", ".join(DOMAINS)} (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Draws the dataset. Returns 0, or 2 after saying what is wrong."""
    from tqdm import tqdm

    start, drawn, earlier = time.perf_counter(), [], read_arguments(args.out)

    def progress(iterable, desc):
        if not drawn:
            _announce_replacement(args, earlier)
        drawn.append(len(iterable))
        return tqdm(iterable, desc=desc, unit='img', mininterval=1)

    try:
        manifest = make_toy_dataset(args.out, kind=args.kind, train=args.train, val=args.val, seed=args.seed,
                                    domain=args.domain, progress=progress)
    except (ValueError, OSError) as error:
        print(f'make-toy-data: error: {error}', file=sys.stderr)
        return 2
    if drawn:
        print(f'{args.out}: {sum(drawn)} pictures in {time.perf_counter() - start:.1f} s')
    else:
        print(f'{args.out}: already there, nothing to do')
    for split, counts in manifest['instances'].items():
        print(f'  {split}: ' + ', '.join(f'{name} {number}' for name, number in counts.items()))
    for name in manifest['annotation_files']:
        print(f'  annotations/{name}')
    return 0


def _announce_replacement(args: argparse.Namespace, earlier: dict) -> None:
    asked = {name: getattr(args, name) for name in earlier}
    if earlier != asked:
        print(f'{args.out}: replaces earlier toy data (' + ', '.join(
            f'{name} {earlier[name]} -> {asked[name]}' for name in earlier if earlier[name] != asked[name]) + ')')
