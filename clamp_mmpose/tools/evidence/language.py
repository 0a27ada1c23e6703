"""DenseCLIP with and without its parts, on toy animals."""
from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from ..commands import call, find_config
from ..config_variant import load_variant, relocate, shorten
from .page import machine, table, write_section

EPOCHS, TRAIN = 15, 300
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


def compare(args: argparse.Namespace) -> None:
    """Trains each variant with each seed and writes the table of DenseCLIP."""
    rows, data = [], args.work_dir.resolve() / 'data'
    call('clamp-mmpose', 'make-toy-data', data / 'toyanimals', '--train', args.train or TRAIN)
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
    cfg = load_variant(find_config(FOLDER / f'{config}{ENDING}'),
                       {'randomness.seed': seed, **shorten(args.epochs or EPOCHS)})
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
    about = (f'AP on unseen animals. {args.train or TRAIN} training pictures, {args.epochs or EPOCHS} epochs, seeds '
             f'{" and ".join(map(str, args.seeds))}; {machine()}. The last epoch counts, not the best.')
    write_section(args.out, 'DenseCLIP', [about, '', *table(header, rows)])
