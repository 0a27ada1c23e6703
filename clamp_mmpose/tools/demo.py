"""`clamp-mmpose demo`: a CLAMP model from nothing, by the commands a user would type. Standard library only."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from .commands import attempt, best_checkpoint, call, find_config

HELP = 'draw toy animals, train CLAMP on them, test it, and draw what it sees; some minutes on two cores'

CONFIG = Path('configs', 'clamp', 'clamp_tiny_1xb16-30e_toyanimals-128x128.py')
DATA = Path('data', 'toyanimals')  # where the config looks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs', 'demo'), help='default: %(default)s')


def run(args: argparse.Namespace) -> int:
    """Runs the demo in the working directory; the last lines tell the AP and the pictures."""
    return attempt(lambda: _demo(args.work_dir))


def _demo(work_dir: Path) -> None:
    started = time.time()
    config, metrics, pictures = find_config(CONFIG), work_dir / 'metrics.json', work_dir / 'pictures'
    draw_animals()
    checkpoint = train('mmpose', config, work_dir)
    call('mim', 'test', 'mmpose', config, '--checkpoint', checkpoint, '--work-dir', work_dir, '--out', metrics)
    call('clamp-mmpose', 'visualize', config, checkpoint, '--out', pictures)
    print(f'\nIn {(time.time() - started) / 60:.1f} minutes: {checkpoint}')
    for picture in sorted(pictures.glob('*.png')):
        print(f'picture: {picture}')
    print(f'AP {json.loads(metrics.read_text())["coco/AP"]:.3f} on animals it has not seen')


def draw_animals() -> None:
    """Draws the data that the toy configs read, unless they are there."""
    call('clamp-mmpose', 'make-toy-data', DATA, '--kind', 'animals', '--train', 300)


def train(package: str, config: Path, work_dir: Path) -> Path:
    """Trains by ``mim train PACKAGE``; returns the best checkpoint."""
    call('mim', 'train', package, config, '--work-dir', work_dir)
    return best_checkpoint(work_dir)
