from __future__ import annotations

import argparse

HELP = 'list the instances that keep their locations where the others have presence labels alone'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--ann', default='data/coco/annotations/person_keypoints_train2017.json', metavar='FILE',
                        help='the training file, COCO-style or in the layout of mpii_train.json (default: %(default)s)')
    parser.add_argument('--percent', nargs='+', required=True, metavar='P',
                        help='of the instances with labelled keypoints, one file for each percentage and seed')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], metavar='S', help='default: 0')


def run(args: argparse.Namespace) -> None:
    from clamp_mmpose.datasets.splits import LocationDraw, folder_of, write_files
    from clamp_mmpose.datasets.splits.fraction import parse_percent, percent_text
    shares = dict.fromkeys(percent_text(parse_percent(percent)) for percent in args.percent)
    drawing, folder = LocationDraw(args.ann), folder_of(args.out, args.ann)
    drawn = [drawing.draw(share, seed) for share in shares for seed in dict.fromkeys(args.seeds)]
    states = write_files({folder / name: content for name, _, content in drawn}, force=args.force)
    for name, number, _ in drawn:
        print(f'{folder / name}: {states[folder / name]}')
        print(f'  {number} of {len(drawing.ids)} instances keep their locations')
    print(f"in the pipeline: dict(type='GeneratePresence', located={str(folder / drawn[0][0])!r})")
