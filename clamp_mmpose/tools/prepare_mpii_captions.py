"""The subcommand ``prepare-mpii-captions``."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "training and validation files of pose captions, from MPII's annotations"

_PAPER = {'with all sixteen joints annotated': 1475, 'train': 1170, 'val': 293}  # Table 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('ann', nargs='+', metavar='FILE',
                        help="MPII's mpii_human_pose_v1_u12_1.mat, or MMPose's mpii_train.json, mpii_val.json, ...")
    parser.add_argument('--out', metavar='DIR', help='folder for the files (default: beside the file read)')
    parser.add_argument('--require-visible', action='store_true',
                        help="only people all of whose joints are marked visible; the paper's are annotated")
    parser.add_argument('--split-by', default='image', metavar='WHAT',
                        help='image, as the paper, or video, so that no frames of one video are in both files '
                        '(default: %(default)s)')
    parser.add_argument('--val-percent', type=int, default=20, metavar='P',
                        help='share of the people to validate on (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, metavar='S', help='same seed, same bytes (default: %(default)s)')
    parser.add_argument('--force', action='store_true', help='replace files that hold something else')


def run(args: argparse.Namespace) -> int:
    """Writes the files and prints what they hold. Returns 0, or 2 after saying what is wrong."""
    try:
        _prepare(args)
    except (ValueError, OSError) as error:
        print(f'prepare-mpii-captions: error: {error}', file=sys.stderr)
        return 2
    return 0


def _prepare(args: argparse.Namespace) -> None:
    from clamp_mmpose.datasets.mpii import prepare_captions
    from clamp_mmpose.datasets.splits import folder_of, write_files

    if args.split_by not in ('image', 'video'):
        raise ValueError(f'--split-by {args.split_by} must be image or video')
    paths = list(map(Path, args.ann))
    files = prepare_captions(paths, require_visible=args.require_visible, percent=args.val_percent, seed=args.seed,
                             by=args.split_by)
    folder = folder_of(args.out, paths[0])
    states = write_files({folder / name: content for name, content in files.contents.items()}, force=args.force)
    for path, state in states.items():
        print(f'{path}: {state}')
    width = len(str(max(files.counts.values())))
    for what, number in files.counts.items():
        paper = f' (the paper: {_PAPER[what]})' if what in _PAPER else ''
        print(f'  {number:>{width}} {what}{paper}')
    for remark in files.remarks:
        print(f'note: {remark}')
