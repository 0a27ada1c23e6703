"""The files that a protocol reads: AP-10K's own under --data-root, or any COCO-style files that are named."""
from __future__ import annotations

import argparse
from pathlib import Path


def add_source_arguments(parser: argparse.ArgumentParser, test_help: str) -> None:
    parser.add_argument('--data-root', default='data/ap10k', metavar='DIR',
                        help='where annotations/ap10k-{train,val,test}-splitN.json are (default: %(default)s)')
    parser.add_argument('--split', type=int, default=1, metavar='N', help="AP-10K's N (default: %(default)s)")
    parser.add_argument('--train-ann', metavar='FILE', help='a COCO-style training file, instead of --data-root')
    parser.add_argument('--test-ann', metavar='FILE', help=test_help)


def ap10k_file(args: argparse.Namespace, part: str) -> tuple[Path, str]:
    """An AP-10K file, and what named it."""
    path = Path(args.data_root, 'annotations', f'ap10k-{part}-split{args.split}.json')
    return path, f'from --data-root {args.data_root} --split {args.split}'


def train_file(args: argparse.Namespace) -> tuple[Path, str]:
    if args.test_ann and not args.train_ann:
        raise ValueError(f'--test-ann {args.test_ann} needs --train-ann')
    return (Path(args.train_ann), '--train-ann') if args.train_ann else ap10k_file(args, 'train')
