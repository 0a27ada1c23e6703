"""The subcommand ``make-splits``: evaluation protocols as annotation files."""
from __future__ import annotations

import argparse
import sys

from . import common, family, few_shot, fraction, locations

HELP = ('write files for a protocol: unseen families, few shots, shares of the data or of the locations, shared '
        'keypoints')

PROTOCOLS = {'family': family, 'few-shot': few_shot, 'fraction': fraction, 'locations': locations,
             'common': common}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    protocols = parser.add_subparsers(dest='protocol', metavar='PROTOCOL', required=True)
    for name, module in PROTOCOLS.items():
        protocol = protocols.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(protocol)
        protocol.add_argument('--out', metavar='DIR', help='folder for the files (default: beside the file read)')
        protocol.add_argument('--force', action='store_true', help='replace files that hold something else')


def run(args: argparse.Namespace) -> int:
    """Writes the files and prints what they hold. Returns 0, or 2 after saying what is wrong."""
    try:
        PROTOCOLS[args.protocol].run(args)
    except (ValueError, OSError) as error:
        print(f'make-splits {args.protocol}: error: {error}', file=sys.stderr)
        return 2
    return 0
