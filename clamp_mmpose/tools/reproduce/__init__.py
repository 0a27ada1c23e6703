"""`clamp-mmpose reproduce`: a paper's tables row by row, from the data that is there; or its protocols on toy animals.

The commands are those a user would type; the rest is imported when it is needed.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path

HELP = "train and test the rows of CLAMP's tables whose data is there, and write them beside the paper's values"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('method', choices=['clamp'], help='whose tables')
    parser.add_argument('--table', nargs='+', metavar='T', help="tables, such as 3, or a toy's protocol (default: all)")
    parser.add_argument('--row', nargs='+', metavar='TEXT', help='rows with this in table, name or config')
    parser.add_argument('--list', action='store_true', help='show the rows, their data and state, and run nothing')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], metavar='S',
                        help='of the trainings and of the splits that are drawn (default: 0 1 2)')
    parser.add_argument('--data-root', type=Path, default=Path('data'), metavar='DIR',
                        help='folder that has ap10k, animalpose and coco (default: %(default)s)')
    parser.add_argument('--clip-weights', type=Path, metavar='DIR',
                        help="folder with OpenAI's RN50.pt, ViT-B-16.pt and ViT-L-14.pt (default: open_clip downloads)")
    parser.add_argument('--gpus', type=int, metavar='N', help='the learning rate follows (default: a GPU, or the CPU)')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='changes to all configs, as of mim train')
    parser.add_argument('--restart', action='store_true',
                        help='set aside runs whose config or data has changed, and train them anew')
    parser.add_argument('--work-dir', type=Path, metavar='DIR',
                        help='of all runs (default: work_dirs/reproduce, work_dirs/reproduce_toy)')
    parser.add_argument('--out', type=Path, metavar='PAGE.md',
                        help='the table, beside which a .csv is written (default: table.md in the work directory)')
    toy = parser.add_argument_group('on generated animals')
    toy.add_argument('--toy', action='store_true', help='the same protocols without data, on a CPU')
    toy.add_argument('--pictures', type=int, default=800, metavar='N', help='training pictures (default: %(default)s)')
    toy.add_argument('--animals', type=int, default=8000, metavar='N',
                     help='animals that one training sees, whatever the size of its set (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Runs what is not done yet. Returns 0, 1 after a run that failed or has changed.

    2 if nothing could be run, or a folder cannot be written; 130 after an interruption, from where the same command
    goes on.
    """
    try:
        return _run(args)
    except (ValueError, OSError) as error:
        print(f'reproduce: error: {error}', file=sys.stderr)
        return 2


def _run(args: argparse.Namespace) -> int:
    from .campaign import Campaign
    campaign = Campaign(args)
    if args.list:
        campaign.show()
        return 0
    # A scheduler's SIGTERM and a closed terminal stop as Ctrl-C does; under nohup the latter does nothing.
    handlers = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGTERM, signal.SIGHUP)
                if signal.getsignal(number) != signal.SIG_IGN}
    try:
        return campaign.run()
    except subprocess.CalledProcessError as error:
        print(f'reproduce: {" ".join(map(str, error.cmd))}: failed with status {error.returncode}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nreproduce: interrupted; the same command goes on from here', file=sys.stderr)
        return 130
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
