"""The subcommand ``visualize``."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.dataset import BaseDataset

HELP = 'draw ground truth, prediction and score maps of some validation images'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', metavar='CONFIG', help='config file')
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='trained weights')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the pictures')
    parser.add_argument('--num', type=int, default=4, metavar='N',
                        help='animals or people to draw (default: %(default)s)')
    parser.add_argument('--keypoints', nargs='+', metavar='NAME',
                        help="whose score maps, such as nose 'left eye' (default: five, spread over the body)")
    parser.add_argument('--kpt-thr', type=float, default=0.3, metavar='SCORE',
                        help='predictions with a lower score are left out (default: %(default)s)')
    parser.add_argument('--device', default='cpu', help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='which of the images (default: %(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='changes to the config, as in mim')


def run(args: argparse.Namespace) -> int:
    """Writes the pictures and prints their paths. Returns 0, or 2 after saying what is wrong."""
    try:
        for path in _draw(args):
            print(path)
    except (ValueError, OSError, RuntimeError, AssertionError) as error:  # MMPose asserts that files exist
        print(f'visualize: error: {error}', file=sys.stderr)
        return 2
    return 0


def _draw(args: argparse.Namespace) -> list[Path]:
    import torch
    from mmpose.apis import init_model

    from clamp_mmpose import visualization
    if args.device.startswith('cuda') and not torch.cuda.is_available():
        raise ValueError(f'--device {args.device}: PyTorch finds no CUDA device; use --device cpu')
    config = Config.fromfile(args.config)
    if args.cfg_options:
        config.merge_from_dict(args.cfg_options)
    model = init_model(config, args.checkpoint, device=args.device)
    dataset = _build_dataset(config)
    meta = dataset.metainfo
    names = getattr(model.neck, 'keypoint_names', None) if model.with_neck else None
    names = names or [name.replace('_', ' ') for name in meta['keypoint_id2name'].values()]
    keypoints = visualization.find_keypoints(args.keypoints or [], names)

    indices = visualization.choose_instances(dataset, args.num, seed=args.seed)
    views = visualization.view_instances(model, dataset, indices)
    keypoints = keypoints or visualization.choose_keypoints(views)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    figures = {'poses.png': visualization.draw_pose_panel(views, keypoints, names, meta, kpt_thr=args.kpt_thr)}
    for number, view in enumerate(views, 1):
        if view.score_map is not None:
            figures[f'score_maps_{number}.png'] = visualization.draw_score_maps(view, keypoints, names)
    for name, figure in figures.items():
        figure.savefig(out / name, dpi=130)
    return [out / name for name in figures]


def _build_dataset(config: Config) -> BaseDataset:
    """The validation set with its ground truth: no detector's boxes, which have no labelled keypoints."""
    from mmpose.registry import DATASETS
    settings = config.val_dataloader.dataset
    settings.pop('bbox_file', None)
    return DATASETS.build(settings)
