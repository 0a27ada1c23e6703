"""The subcommand ``infer``."""
from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

HELP = 'poses in images and videos: drawn, and as COCO JSON, CSV or DeepLabCut CSV'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from mmengine.config import DictAction
    parser.add_argument('inputs', nargs='+', metavar='INPUT',
                        help='images, videos, folders of them, or a .txt file with one path per line')
    parser.add_argument('--config', required=True, metavar='CFG', help='of a top-down pose model')
    parser.add_argument('--checkpoint', required=True, metavar='PTH', help='its weights')
    parser.add_argument('--out', type=Path, default=Path('work_dirs', 'infer'), metavar='DIR',
                        help='folder for what is written (default: %(default)s)')
    parser.add_argument('--format', nargs='+', choices=['coco', 'csv', 'dlc'], default=['coco', 'csv'],
                        help='coco: keypoints.json and images.json; csv: one row per keypoint; dlc: as DeepLabCut '
                        'writes it (default: coco csv)')
    parser.add_argument('--draw', action=argparse.BooleanOptionalAction, default=True,
                        help='draw the poses into copies of the images and videos')
    where = parser.add_argument_group('boxes', 'where the animals or people are; the whole image without any of these')
    where.add_argument('--detector', metavar='CFG', help='config of a detector of MMDetection')
    where.add_argument('--detector-checkpoint', metavar='PTH', help='its weights')
    where.add_argument('--boxes', nargs='+', metavar='JSON',
                       help='boxes by file name: COCO annotations; COCO detections and the COCO file of their images; '
                       "or MegaDetector's output")
    where.add_argument('--names', nargs='+', metavar='NAME',
                       help="which classes of the detector, or categories of --boxes, such as zebra 'brown bear' "
                       '(default: all)')
    where.add_argument('--bbox-thr', type=float, default=0.3, metavar='SCORE',
                       help='boxes with a lower score are left out (default: %(default)s)')
    where.add_argument('--nms-thr', type=float, metavar='IOU',
                       help='of boxes that overlap more, the surest stays (default: 0.3 with --detector, else none)')
    parser.add_argument('--prompts', nargs='+', metavar='NAME',
                        help='other keypoints, by name, for a model that reads them from its score map alone')
    parser.add_argument('--kpt-thr', type=float, default=0.3, metavar='SCORE',
                        help='keypoints with a lower score are not drawn, and not visible in the CSV '
                        '(default: %(default)s)')
    parser.add_argument('--recursive', action='store_true', help='also look into the folders inside folders')
    parser.add_argument('--every', type=int, default=1, metavar='N', help='use every N-th frame of a video')
    parser.add_argument('--batch-size', type=int, default=16, metavar='N',
                        help='animals or people at once (default: %(default)s)')
    parser.add_argument('--flip-test', action=argparse.BooleanOptionalAction,
                        help='average with the mirrored image, at twice the time (default: as the config says)')
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU if there is one)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='changes to the config, as in mim')


def run(args: argparse.Namespace) -> int:
    """Returns 0 if all is done, 1 if something had to be skipped, 2 if nothing could start, 130 after Ctrl-C."""
    from ...apis import find_inputs
    from .session import Session
    try:
        _check(args)
        drawn = Path(os.path.abspath(args.out), 'drawn')
        inputs = find_inputs(args.inputs, recursive=args.recursive, exclude=str(drawn))
        if args.draw and any(drawn in Path(os.path.abspath(item.path)).parents for item in inputs):
            raise ValueError(f'inputs lie in {drawn}, where the drawn pictures would replace them; give another --out')
        session = Session(_build(args), inputs, args)
    except Exception as error:  # a config is a program and may raise anything
        kind = '' if isinstance(error, (ValueError, OSError, RuntimeError)) else f'{type(error).__name__}: '
        print(f'infer: error: {kind}{" ".join(str(error).split())}', file=sys.stderr)
        return 2
    return session.run()


def _check(args: argparse.Namespace) -> None:
    import torch
    if args.detector and args.boxes:
        raise ValueError('--detector and --boxes both say where to look; give one of them')
    if bool(args.detector) != bool(args.detector_checkpoint):
        raise ValueError('--detector and --detector-checkpoint belong together')
    if args.boxes and len(args.boxes) > 2:
        raise ValueError(f'--boxes takes one or two files, not {len(args.boxes)}')
    if args.names and not (args.detector or args.boxes):
        raise ValueError('--names chooses among the classes of --detector or the categories of --boxes; give one')
    for name in ('batch_size', 'every'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name.replace("_", "-")} {getattr(args, name)} must be 1 or more')
    for path in (args.config, args.checkpoint, args.detector, args.detector_checkpoint, *(args.boxes or [])):
        if path and '://' not in path and not Path(path).is_file():
            raise ValueError(f'there is no file {path}')
    if (args.device or '').startswith('cuda') and not torch.cuda.is_available():
        raise ValueError(f'--device {args.device}: PyTorch finds no CUDA device; use --device cpu')


def _build(args: argparse.Namespace):
    from ...apis import BoxFile, Detector, PoseInferencer
    boxes = None
    chosen = dict(names=args.names, bbox_thr=args.bbox_thr)
    if args.boxes:
        boxes = BoxFile(*args.boxes, nms_thr=args.nms_thr, **chosen)
    elif args.detector:
        nms_thr = 0.3 if args.nms_thr is None else args.nms_thr
        boxes = Detector(args.detector, args.detector_checkpoint, nms_thr=nms_thr, device=args.device, **chosen)
    inferencer = PoseInferencer(
        args.config, args.checkpoint, boxes=boxes, device=args.device, batch_size=args.batch_size,
        flip_test=args.flip_test, cfg_options=args.cfg_options)
    if args.prompts:
        inferencer.set_prompts(args.prompts)
    return inferencer
