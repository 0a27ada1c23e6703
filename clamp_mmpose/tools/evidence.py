"""`clamp-mmpose evidence`: what the parts of a method are worth on toy data, in trainings of the same length."""
from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import time
from pathlib import Path

from .commands import attempt, call, find_config
from .config_variant import load_variant, relocate, shorten

HELP = 'train toy models with and without the parts of a method, several seeds each; an hour on two cores'
FOLDER = Path('configs', 'denseclip')
ENDING = '_1xb16-30e_toyanimals-128x128.py'

# (what it is, config without its ending); the first of each backbone is what the others are compared with
VARIANTS = {
    "CLIP's ResNet": [
        ('no language', 'simplebaseline_tiny'),
        ('DenseCLIP, post-model prompting', 'denseclip_tiny'),
        ('DenseCLIP, pre-model prompting', 'denseclip_tiny-pre'),
        ('DenseCLIP, language-domain prompting', 'denseclip_tiny-language'),
        ('DenseCLIP, fixed template', 'denseclip_tiny-template'),
    ],
    "MMPose's ResNet-18": [
        ('no language', 'simplebaseline_tiny-resnet18'),
        ('DenseCLIP, embedding by projection', 'denseclip_tiny-resnet18'),
        ('DenseCLIP, embedding by attention pool', 'denseclip_tiny-resnet18-attnpool'),
    ],
}
INTRODUCTION = """# Evidence on toy data

AP on unseen toy animals after trainings of the same length from random weights, written by `clamp-mmpose evidence`
(`make evidence`). It compares parts with each other on this data and this budget. It says nothing about CLIP's
pretrained weights, nor about the papers' numbers.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--out', type=Path, default=Path('docs', 'evidence.md'), help='default: %(default)s')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], metavar='S', help='default: 0 1 2')
    parser.add_argument('--epochs', type=int, default=15, help='of each training; default: %(default)s')
    parser.add_argument('--train', type=int, default=300, help='training pictures; default: %(default)s')
    parser.add_argument('--only', nargs='+', metavar='WORD', help='configs whose name contains one of these')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs', 'evidence'), help='default: %(default)s')


def run(args: argparse.Namespace) -> int:
    """Trains each variant with each seed and writes the table. Returns 1 if a command fails."""
    return attempt(lambda: _compare(args))


def _compare(args: argparse.Namespace) -> None:
    rows, data = [], args.work_dir.resolve() / 'data'
    call('clamp-mmpose', 'make-toy-data', data / 'toyanimals', '--train', args.train)
    for backbone, variants in VARIANTS.items():
        baseline = None
        for name, config in variants:
            if args.only and not any(word in config for word in args.only):
                continue
            results = [_train(config, seed, args, data) for seed in args.seeds]
            scores, minutes = ([result[column] for result in results] for column in (0, 1))
            if (name, config) == variants[0]:
                baseline = scores
            rows.append(_row(backbone, name, config, scores, baseline, minutes))
            _write(args, rows)  # an interrupted run keeps what it has
    print(f'written: {args.out}')


def _train(config: str, seed: int, args: argparse.Namespace, data: Path) -> tuple[float, float]:
    """AP after the last epoch, and the minutes that it took."""
    work_dir = args.work_dir / f'{config}_seed{seed}'
    cfg = load_variant(find_config(FOLDER / f'{config}{ENDING}'), {'randomness.seed': seed, **shorten(args.epochs)})
    cfg.merge_from_dict(relocate(cfg, data / 'toyanimals'))
    variant = work_dir.with_name(f'{work_dir.name}.py')
    cfg.dump(variant)
    started = time.time()
    call('mim', 'train', 'mmpose', variant, '--work-dir', work_dir)
    latest = max(work_dir.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime)
    logged = [json.loads(line) for line in latest.read_text().splitlines()]
    return [row['coco/AP'] for row in logged if 'coco/AP' in row][-1], (time.time() - started) / 60


def _row(backbone: str, name: str, config: str, scores: list, baseline: list | None, minutes: list) -> list[str]:
    spread = f' ({min(scores):.3f} to {max(scores):.3f})' if len(scores) > 1 else ''
    # Seed by seed: the two saw the same pictures in the same order.
    gain = '-'
    if baseline is not None and baseline is not scores:
        gain = f'{statistics.mean(score - other for score, other in zip(scores, baseline)):+.3f}'
    return [backbone, name, f'{statistics.mean(scores):.3f}{spread}', gain, f'{statistics.mean(minutes):.1f}',
            f'`{config}`']


def _write(args: argparse.Namespace, rows: list[list[str]]) -> None:
    header = ['backbone', 'what', 'AP: mean (least to greatest)', 'beside no language', 'minutes each', 'config']
    table = [f'| {" | ".join(cells)} |' for cells in (header, ['---'] * len(header), *rows)]
    about = (f'{datetime.date.today()}: {args.train} training pictures, {args.epochs} epochs, seeds '
             f'{" and ".join(map(str, args.seeds))}; {os.cpu_count()} CPU cores. The last epoch counts, not the best.')
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text('\n'.join([INTRODUCTION, '## DenseCLIP', '', about, '', *table, '']), encoding='utf-8')
