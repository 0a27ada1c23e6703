from __future__ import annotations

import argparse

from .sources import add_source_arguments, ap10k_file, train_file

HELP = 'train on a few instances of each species; the test is the whole validation file'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source_arguments(parser, 'the file that will be tested on, with --train-ann: its pictures are never drawn')
    parser.add_argument('--shots', type=int, default=20, metavar='N',
                        help='instances of each species (default: %(default)s)')
    parser.add_argument('--seed', type=int, nargs='+', default=[0], metavar='S',
                        help='one file for each (default: 0)')


def run(args: argparse.Namespace) -> None:
    from clamp_mmpose.datasets.splits import few_shot, folder_of, read_coco

    from .report import write_and_report
    train_path, named_by = train_file(args)
    train, test = read_coco(train_path, named_by), None
    if args.test_ann:
        test = read_coco(args.test_ann, '--test-ann')
    elif not args.train_ann:
        test = read_coco(*ap10k_file(args, 'val'))
    files, remarks = [], {}
    for seed in dict.fromkeys(args.seed):
        file, said = few_shot(train, shots=args.shots, seed=seed, test=test)
        files.append(file)
        remarks.update(dict.fromkeys(said))
    folder = folder_of(args.out, train_path)
    write_and_report([(folder, file) for file in files], force=args.force, remarks=list(remarks),
                     sources=[file for file in (train, test) if file])
