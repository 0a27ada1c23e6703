"""LOFR on toy people: what presence alone teaches of locations, and what some locations add."""
from __future__ import annotations

import argparse
import json
import re
import statistics
from pathlib import Path

from ..commands import call, find_config, last_checkpoint
from ..config_variant import load_variant
from .page import machine, table, write_section
from .runs import described, drawn, dump, once

FOLDER = Path('configs', 'lofr')
TRAIN, VAL = 1500, 150
THRESHOLD = 0.2
PARTS = dict(head=range(5), shoulders=(5, 6), elbows=(7, 8), wrists=(9, 10), hips=(11, 12), knees=(13, 14),
             ankles=(15, 16))
# annotations, and how much of what is around a box the input shows; None: what the recipe's inputs show
TESTS = dict(people=('person_keypoints_val.json', None), windows=('person_windows_val.json', 1.0))
LOFR, BASE, LOCAL_BASE = 'LOFR', 'transformer baseline', 'transformer baseline, matched, with windows'
WHOLE, QUARTER, ALL = 'LOFR on whole people', 'LOFR, 25 % of locations', 'LOFR, all locations'
ACTIVATION, MEAN, FACING = "LOFR's activation maps", 'mean location', 'mean location of the facing'
WINDOWS, PEOPLE = (f'lofr_tiny_1xb16-{name}-128x128.py' for name in ('6e_toypeople-windows', '30e_toypeople'))
NO_MODULES = {'model.head.scales': (8, ), 'model.head.spe': None, 'model.head.reppg': None,
              'model.head.diversity_loss': None}
# The paper's baseline has a label for each input, and sees each window as an input of its own.
EACH_WINDOW = {'model.head.local_matching': None, 'train_dataloader.dataset.windows': 0}


def epochs(number: int) -> dict:
    """Changes of a toy recipe to so many epochs."""
    return {'train_cfg.max_epochs': number, 'param_scheduler.1.end': number, 'param_scheduler.1.T_max': number}


# (config, what is changed in it)
MODELS = {
    LOFR: (WINDOWS, {}),
    BASE: (WINDOWS, {**NO_MODULES, **EACH_WINDOW, **epochs(2)}),
    LOCAL_BASE: (WINDOWS, NO_MODULES),
    WHOLE: (PEOPLE, {}),
    QUARTER: (PEOPLE.replace('people', 'people-25pct'), epochs(8)),
    ALL: (PEOPLE.replace('people', 'people-100pct'), epochs(8)),
}


def compare(args: argparse.Namespace) -> None:
    """Trains each model with each seed, tests it on people and on windows, and writes the section."""
    folder = args.work_dir.resolve()
    data = folder / 'data' / 'toypeople-presence'
    call('clamp-mmpose', 'make-toy-data', data, '--kind', 'people', '--train', args.train or TRAIN, '--val', VAL)
    runs = Runs(args, folder / 'presence', data)
    accuracy = {test: {name: [values] for name, values in mean_locations(data, test).items()}
                for test in TESTS}
    minutes: dict[str, list[float]] = {}
    for seed in args.seeds:
        for name, (config, options) in MODELS.items():
            if args.only and not any(word in name for word in args.only):
                continue
            trained = runs.train(name, FOLDER / config, seed, options)
            minutes.setdefault(name, []).append(trained['minutes'])
            for test in TESTS:
                accuracy[test].setdefault(name, []).append(runs.test(trained, test, 'response'))
                if name == LOFR:
                    accuracy[test].setdefault(ACTIVATION, []).append(runs.test(trained, test, 'activation'))
            _write(args, accuracy, minutes)  # an interrupted run keeps what it has
    print(f'written: {args.out}')


class Runs:
    """Trainings and their tests, each in a folder of its own."""

    def __init__(self, args: argparse.Namespace, folder: Path, data: Path) -> None:
        self.folder, self.epochs, self.data = folder, args.epochs, data

    def train(self, name: str, path: Path, seed: int, options: dict) -> dict:
        cfg = load_variant(find_config(path), {'randomness.seed': seed, **options})
        if self.epochs:
            cfg.train_cfg.max_epochs = self.epochs
        cfg.train_cfg.val_interval = cfg.default_hooks.checkpoint.interval = cfg.train_cfg.max_epochs
        for stage in ('train', 'val', 'test'):
            cfg[f'{stage}_dataloader'].dataset.data_root = f'{self.data}/'
        cfg.val_evaluator = cfg.test_evaluator = dict(type='PCKAccuracy', thr=THRESHOLD)
        work_dir = self.folder / f'{re.sub("[^a-zA-Z0-9]+", "-", name)}_seed{seed}'
        origin = described(cfg) + drawn(self.data)

        def run() -> dict:
            call('mim', 'train', 'mmpose', dump(cfg, work_dir), '--work-dir', work_dir)
            return dict(checkpoint=str(last_checkpoint(work_dir)))

        return dict(once(work_dir, origin, run), origin=origin, config=str(work_dir) + '.py')

    def test(self, trained: dict, test: str, source: str) -> list[float]:
        """PCK of each keypoint."""
        cfg = load_variant(Path(trained['config']), {'model.test_cfg.predict_from': source})
        annotations, padding = TESTS[test]
        dataset = cfg.test_dataloader.dataset
        dataset.ann_file = f'annotations/{annotations}'
        for step in dataset.pipeline:
            if step['type'] == 'GetBBoxCenterScale' and padding:
                step['padding'] = padding
        work_dir = Path(trained['config']).with_suffix('') / f'{test}-{source}'

        def run() -> dict:
            predictions = work_dir / 'predictions.pkl'
            call('mim', 'test', 'mmpose', dump(cfg, work_dir), '--checkpoint', trained['checkpoint'], '--work-dir',
                 work_dir, '--dump', predictions)
            return dict(accuracy=_accuracy_of(predictions))

        return once(work_dir, described(cfg) + trained['origin'], run)['accuracy']


def mean_locations(data: Path, test: str) -> dict[str, list[float]]:
    """PCK of each keypoint where it is taken to lie where it lies on average, in the box, of the people to learn from:
    all of them, and those that face the same way. Which way somebody faces is read off the labels, those to test on
    too: an advantage that no model has.
    """
    import numpy as np
    points, visible, facing = _people(data / 'annotations' / 'person_keypoints_train.json')
    if test == 'windows':  # the mean is that of the keypoints within windows, too
        points, visible, facing = _windows_of(data, points, visible, facing)
    test_points, test_visible, test_facing = _people(data / 'annotations' / TESTS[test][0])
    found = {}
    for name, groups, test_groups in ((MEAN, np.zeros_like(facing), np.zeros_like(test_facing)),
                                      (FACING, facing, test_facing)):
        guess = np.zeros_like(test_points)
        for group in np.unique(test_groups):
            weight = visible * (groups == group)[:, None]
            guess[test_groups == group] = np.einsum('nk,nkd->kd', weight, points) / weight.sum(0).clip(1)[:, None]
        found[name] = _pck(guess, test_points, test_visible, np.ones(len(guess)))
    return found


def _people(path: Path) -> tuple:
    """Keypoints (N, K, 2) from the centre of the box and in its longer sides, (N, K) whether labelled, (N,) facing."""
    import numpy as np
    annotations = json.loads(path.read_text())['annotations']
    keypoints = np.array([one['keypoints'] for one in annotations], float).reshape(len(annotations), -1, 3)
    boxes = np.array([one['bbox'] for one in annotations], float)
    points = (keypoints[..., :2] - (boxes[:, :2] + boxes[:, 2:] / 2)[:, None]) / boxes[:, 2:].max(1)[:, None, None]
    visible = keypoints[..., 2] > 0
    ears = visible[:, 3:5].sum(1)
    middle = (points[:, 3:5, 0] * visible[:, 3:5]).sum(1) / ears.clip(1)
    side = np.digitize(points[:, 0, 0] - middle, (-.02, .02))  # left, towards or away, right
    return points, visible, np.where(visible[:, 0] & (ears > 0), side, 3)


def _windows_of(data: Path, points, visible, facing) -> tuple:
    """The same of windows on the people to learn from, 5 on each, drawn as those to test on are."""
    import numpy as np

    from clamp_mmpose.datasets.toy.person_windows import sample_windows
    content = json.loads((data / 'annotations' / 'person_keypoints_train.json').read_text())
    sizes = {image['id']: (image['width'], image['height']) for image in content['images']}
    rng = np.random.default_rng(0)
    found = []
    for one, seen, side in zip(content['annotations'], visible, facing):
        keypoints = np.array(one['keypoints'], float).reshape(-1, 3)[:, :2]
        for window in sample_windows(rng, one['bbox'], sizes[one['image_id']], 5, share_large=0):
            x, y, length = window.square
            found.append(((keypoints - (x + length / 2, y + length / 2)) / length, seen & window.shows(keypoints),
                          side))
    return tuple(np.stack(column) for column in zip(*found))


def _accuracy_of(predictions: Path) -> list[float]:
    import numpy as np
    from mmengine.fileio import load
    samples = load(str(predictions))
    predicted = np.concatenate([sample['pred_instances']['keypoints'] for sample in samples])
    truth = np.concatenate([sample['gt_instances']['keypoints'] for sample in samples])
    visible = np.concatenate([sample['gt_instances']['keypoints_visible'] for sample in samples]).reshape(
        truth.shape[:2]) > 0
    boxes = np.concatenate([sample['gt_instances']['bboxes'] for sample in samples])
    return _pck(predicted[..., :2], truth, visible, (boxes[:, 2:] - boxes[:, :2]).max(1))


def _pck(predicted, truth, visible, sides) -> list[float]:
    """In per cent, of each keypoint; ``sides`` (N,): the length that the threshold is a share of."""
    import numpy as np
    from mmpose.evaluation.functional import keypoint_pck_accuracy
    accuracy, _, _ = keypoint_pck_accuracy(predicted, truth, visible, THRESHOLD, np.stack([sides, sides], axis=1))
    return [100 * float(value) for value in accuracy]


def _write(args: argparse.Namespace, accuracy: dict, minutes: dict[str, list[float]]) -> None:
    took = ', '.join(f'{name}: {statistics.mean(values):.1f} minutes' for name, values in minutes.items())
    seeds = args.seeds[:max(map(len, minutes.values()))]
    which = (f'mean of seeds {" and ".join(map(str, seeds))}, and its least and greatest' if len(seeds) > 1 else
             f'seed {seeds[0]} alone')
    if len(set(map(len, minutes.values()))) > 1:
        which += f'; a trained model without these is of seed {seeds[0]} alone'
    lines = [f'PCK at {THRESHOLD} of the longer side of the box, in per cent, mean of the keypoints, on people not '
             f'seen: {which}. {args.train or TRAIN} pictures. "{FACING}" knows from the labels which way each '
             f'person to test on faces. {machine()}; {took}.', '']
    for test, models in accuracy.items():
        rows = [[name, _spread([statistics.mean(values) for values in runs]),
                 *(f'{statistics.mean(run[index] for run in runs for index in part):.0f}' for part in PARTS.values())]
                for name, runs in models.items()]
        lines += [{'people': 'Whole people:', 'windows': 'Windows on parts of them:'}[test], '',
                  *table(['model', 'all', *PARTS], rows), '']
    write_section(args.out, 'Presence', lines)


def _spread(values: list[float]) -> str:
    mean = f'{statistics.mean(values):.1f}'
    return f'{mean} ({min(values):.1f} to {max(values):.1f})' if len(values) > 1 else mean
