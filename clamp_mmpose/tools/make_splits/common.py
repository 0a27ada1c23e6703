from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'evaluate on the keypoints that two datasets share'
DATASETS = 'ap10k, animalpose, coco, crowdpose, mpii, h36m'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--a', required=True, metavar='DATASET', help=f'one of {DATASETS}')
    parser.add_argument('--b', required=True, metavar='DATASET', help='another of them')
    for side in 'ab':
        parser.add_argument(f'--{side}-ann', nargs='+', default=[], metavar='FILE',
                            help=f'COCO-style annotations of --{side}, to convert to the shared keypoints')
    parser.add_argument('--loose', action='store_true',
                        help='also keypoints that are only roughly at one place, such as pelvis of MPII and Human3.6M')
    parser.add_argument('--sigmas', metavar='DATASET',
                        help="whose sigmas OKS takes (default: those of --a, if MMPose has any)")


def run(args: argparse.Namespace) -> None:
    from clamp_mmpose.datasets.splits import (
        SharedKeypoints,
        convert_annotations,
        folder_of,
        read_coco,
        shared_config,
    )

    from .report import write_and_report
    shared = SharedKeypoints(args.a, args.b, loose=args.loose, sigmas=args.sigmas)
    sources, files, remarks = [], [], []
    for dataset, option, paths in ((args.a, '--a-ann', args.a_ann), (args.b, '--b-ann', args.b_ann)):
        for path in paths:
            sources.append(read_coco(path, option))
            file, said = convert_annotations(sources[-1], dataset, shared)
            files.append((folder_of(args.out, path), file))
            remarks += said
    name = f'common_{shared.title.replace("-", "_")}.py'
    write_and_report(files, force=args.force, remarks=remarks + shared.remarks(), sources=sources,
                     texts={Path(args.out or '.', name): shared_config(shared, name)})
    print(f'{len(shared.pairs)} keypoints of {args.a} and {args.b} are the same:')
    for name, other in shared.names_of_both():
        print(f'  {name}' + ('' if name == other else f' is {other}'))
