from __future__ import annotations

import argparse

HELP = 'train on a random share of the pictures'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--ann', default='data/coco/annotations/person_keypoints_train2017.json', metavar='FILE',
                        help='the training file (default: %(default)s)')
    parser.add_argument('--percent', nargs='+', required=True, metavar='P',
                        help='of the pictures with labelled keypoints, one file for each percentage and seed')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], metavar='S', help='default: 0')
    parser.add_argument('--val-ann', metavar='FILE',
                        help='the file that will be tested on: its pictures are never drawn')


def run(args: argparse.Namespace) -> None:
    from clamp_mmpose.datasets.splits import FractionDraw, folder_of, read_coco
    from clamp_mmpose.datasets.splits.fraction import parse_percent, percent_text

    from .report import write_and_report
    shares = dict.fromkeys(percent_text(parse_percent(percent)) for percent in args.percent)
    train = read_coco(args.ann, '--ann')
    drawing = FractionDraw(train, read_coco(args.val_ann, '--val-ann') if args.val_ann else None)
    files = [drawing.draw(share, seed) for share in shares for seed in dict.fromkeys(args.seeds)]
    folder = folder_of(args.out, args.ann)
    write_and_report([(folder, file) for file in files], force=args.force, remarks=drawing.remarks(),
                     sources=[file for file in (train, drawing.test) if file])
