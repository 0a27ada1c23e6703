"""`clamp-mmpose demo`: a CLAMP model from nothing, by the commands a user would type. Standard library only."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

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


def attempt(steps: Callable[[], None]) -> int:
    """Runs the steps of a demo. Returns 0, or 1 after saying which command failed."""
    try:
        steps()
    except subprocess.CalledProcessError as error:
        print(f'\nThis command failed with status {error.returncode}:\n{shlex.join(error.cmd)}', file=sys.stderr)
        return 1
    return 0


def draw_animals() -> None:
    """Draws the data that the toy configs read, unless they are there."""
    call('clamp-mmpose', 'make-toy-data', DATA, '--kind', 'animals', '--train', 300)


def train(package: str, config: Path, work_dir: Path) -> Path:
    """Trains by ``mim train PACKAGE``; returns the best checkpoint."""
    call('mim', 'train', package, config, '--work-dir', work_dir)
    return best_checkpoint(work_dir)


def call(*command: object) -> None:
    """Shows a command and runs it; raises CalledProcessError if it fails."""
    words = [str(part) for part in command]
    print(f'\n$ {shlex.join(words)}', flush=True)
    # mim and clamp-mmpose of this very Python, whether or not its environment is activated
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get('PATH', os.defpath)])
    # Threads that spin long while they wait for each other take five times as long where the machine has other work;
    # threads that do not spin at all take twice as long where it has none.
    subprocess.run(words, env={'GOMP_SPINCOUNT': '400', **os.environ, 'PATH': path}, check=True)


def find_config(config: Path) -> Path:
    """A shipped config: in the checkout this runs from, else in the installed package."""
    package = Path(__file__).resolve().parents[1]
    path = package.parent / config
    if not path.exists():
        path = package / '.mim' / config
    return Path(os.path.relpath(path))


def best_checkpoint(work_dir: Path) -> Path:
    """The best checkpoint of the latest training in a folder, or its last one where none was called best."""
    best = sorted(work_dir.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)
    return best[-1] if best else Path((work_dir / 'last_checkpoint').read_text().strip())
