from __future__ import annotations

import argparse
from pathlib import Path

from .sources import add_source_arguments, ap10k_file, train_file

HELP = 'train on some families or species, test on others that training has not seen'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser, 'a COCO-style test file, with --train-ann')
    parser.add_argument('--train', nargs='+', required=True, metavar='NAME', help='families or species to train on')
    parser.add_argument('--test', nargs='+', required=True, metavar='NAME', help='families or species to test on')
    parser.add_argument('--by', choices=('family', 'species'),
                        help='read the names as these alone; by species, both sides may share a family')
    parser.add_argument('--test-images', choices=('val', 'all'), default='val',
                        help='test on the pictures of the validation file, or on those of all files that there are '
                             '(default: %(default)s)')


def run(args: argparse.Namespace) -> None:
    from clamp_mmpose.datasets.splits import folder_of, read_coco, split_by_family

    from .report import write_and_report
    train_path, named_by = train_file(args)
    train = read_coco(train_path, named_by)
    if args.train_ann and not args.test_ann:
        raise ValueError(f'--train-ann {args.train_ann} needs --test-ann, which may be the same file')
    test = read_coco(args.test_ann, '--test-ann') if args.test_ann else read_coco(*ap10k_file(args, 'val'))
    pool, stem = None, ''
    if args.test_images == 'all':
        pool, stem = [train, test], f'{test.stem}-all'
        if not args.test_ann:
            stem = f'ap10k-all-split{args.split}'
            last, named_by = ap10k_file(args, 'test')
            pool += [read_coco(last, named_by)] if Path(last).exists() else []
    split = split_by_family(train, test, train_names=args.train, test_names=args.test, by=args.by, pool=pool,
                            pool_stem=stem)
    folder = folder_of(args.out, train_path)
    write_and_report([(folder, split.train), (folder, split.test)], force=args.force,
                     remarks=split.remarks, sources=pool or [train, test])
