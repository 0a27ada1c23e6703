"""MeTTA on toy people: from one look of the pictures to others, after each step of adaptation."""
from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from ..commands import call, find_config, last_checkpoint
from ..config_variant import load_variant
from .page import machine, table, write_section
from .runs import described, drawn, dump, newest, once

FOLDER = Path('configs', 'metta')
JOINT, META = (FOLDER / f'metta-{name}_toypeople-128x128.py' for name in ('joint_tiny_1xb16-10e', 'meta_tiny_1xb8-2e'))
TRAIN = 1500
SOURCE = 'default'
DOMAINS = (SOURCE, 'fog', 'night', 'noise')
METRIC = 'torso_pck/PCK@0.2'
JOINT_ONLY, WITHOUT_STEPS, META_TRAINED = 'joint stage alone', 'second stage without steps', 'meta stage'


def compare(args: argparse.Namespace) -> None:
    """Trains both stages with each seed, tests them in every domain and writes the section."""
    folder = args.work_dir.resolve() / 'adaptation'
    data = {domain: folder.parent / 'data' / f'toypeople-{domain}' for domain in DOMAINS}
    for domain, path in data.items():
        # The people to test on are the same whatever their look and however many others are drawn.
        call('clamp-mmpose', 'make-toy-data', path, '--kind', 'people', '--domain', domain, '--val', 300,
             '--train', (args.train or TRAIN) if domain == SOURCE else 1)
    accuracy: dict[str, dict[str, list[list[float]]]] = {}
    minutes: dict[str, list[float]] = {}
    for seed in args.seeds:
        runs = Runs(args, folder / f'seed{seed}', seed, data)
        joint = runs.train('joint', JOINT)
        meta = runs.train('meta', META, start=joint)
        plain = runs.train('plain', META, start=joint, options={'model.inner_loop.steps': 0})
        minutes.setdefault(JOINT_ONLY, []).append(joint['minutes'])
        minutes.setdefault(META_TRAINED, []).append(meta['minutes'])
        for domain in DOMAINS:
            for name, trained, steps in ((JOINT_ONLY, joint, True), (WITHOUT_STEPS, plain, False),
                                         (META_TRAINED, meta, True)):
                values = runs.test(f'{name} {domain}'.replace(' ', '-'), trained, domain, steps)
                accuracy.setdefault(domain, {}).setdefault(name, []).append(values)
        _write(args, accuracy, minutes)  # an interrupted run keeps what it has
    print(f'written: {args.out}')


class Runs:
    """The trainings and tests of one seed."""

    def __init__(self, args: argparse.Namespace, folder: Path, seed: int, data: dict[str, Path]) -> None:
        self.folder, self.seed, self.epochs, self.data = folder, seed, args.epochs, data

    def train(self, name: str, path: Path, *, start: dict | None = None, options: dict | None = None) -> dict:
        """The last checkpoint, what it comes from and the minutes; ``start``: the training to go on from."""
        cfg = load_variant(find_config(path), {'randomness.seed': self.seed, **(options or {})})
        if self.epochs:
            cfg.train_cfg.max_epochs = self.epochs
        cfg.train_cfg.val_interval = cfg.default_hooks.checkpoint.interval = cfg.train_cfg.max_epochs
        if start:
            cfg.load_from = start['checkpoint']
        self._read_from(cfg, SOURCE, 'train', 'val', 'test')
        cfg.val_evaluator = cfg.test_evaluator = dict(type='TorsoPCKAccuracy')
        origin = described(cfg) + drawn(self.data[SOURCE]) + (start or {}).get('origin', '')
        work_dir = self.folder / name

        def run() -> dict:
            call('mim', 'train', 'mmpose', dump(cfg, work_dir), '--work-dir', work_dir)
            return dict(checkpoint=str(last_checkpoint(work_dir)))

        return dict(once(work_dir, origin, run), origin=origin)

    def test(self, name: str, trained: dict, domain: str, steps: bool) -> list[float]:
        """The accuracy in per cent after each step; after none where the model is not to take ``steps``."""
        cfg = load_variant(find_config(META), {})
        if not steps:
            del cfg.default_hooks['metta']
            cfg.model.test_cfg.adaptation = None
        self._read_from(cfg, domain, 'val', 'test')
        cfg.val_evaluator = cfg.test_evaluator = dict(type='TorsoPCKAccuracy')
        work_dir = self.folder / name

        def run() -> dict:
            call('mim', 'test', 'mmpose', dump(cfg, work_dir), '--checkpoint', trained['checkpoint'], '--work-dir',
                 work_dir)
            metrics = json.loads(newest(work_dir, '*/*.json').read_text())
            keys = [f'adaptation/step_{step}/{METRIC}' for step in range(cfg.default_hooks.metta.steps + 1)] if steps \
                else [METRIC]
            return dict(accuracy=[100 * metrics[key] for key in keys])

        return once(work_dir, described(cfg) + drawn(self.data[domain]) + trained['origin'], run)['accuracy']

    def _read_from(self, cfg, domain: str, *stages: str) -> None:
        for stage in stages:
            cfg[f'{stage}_dataloader'].dataset.data_root = f'{self.data[domain]}/'


def _write(args: argparse.Namespace, accuracy: dict, minutes: dict[str, list[float]]) -> None:
    first = next(iter(accuracy.values()))
    steps = len(first[META_TRAINED][0]) - 1
    seeds = ' and '.join(map(str, args.seeds[:len(first[META_TRAINED])]))
    took = ', '.join(f'{name}: {statistics.mean(values):.1f} minutes' for name, values in minutes.items())
    about = (f'PCK at 0.2 of the torso, in per cent, on people not seen, after 0 to {steps} steps of adaptation: '
             f'mean of seeds {seeds}.',
             f'Trained on {args.train or TRAIN} pictures of the look "{SOURCE}", the source; the others are the same '
             'people to test on under another look.',
             'Gain: of the last step over step 0, with its least and greatest over the seeds.',
             f'"{WITHOUT_STEPS.capitalize()}" is the control: as many iterations of the same training, but no step is '
             f'taken. {machine()}; {took}.')
    rows = []
    for domain, models in accuracy.items():
        for name, runs in models.items():
            means = [statistics.mean(values) for values in zip(*runs)]
            cells = [f'{mean:.1f}' for mean in means] + ['-'] * (steps + 1 - len(means))
            gains = [values[-1] - values[0] for values in runs]
            gain = f'{statistics.mean(gains):+.1f} ({min(gains):+.1f} to {max(gains):+.1f})' if len(means) > 1 else '-'
            rows.append([domain, name, *cells, gain])
    header = ['look', 'model', *map(str, range(steps + 1)), 'gain']
    write_section(args.out, 'Adaptation', [' '.join(about), '', *table(header, rows)])
