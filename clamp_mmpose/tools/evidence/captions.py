"""BLIP's pose captions on toy people: eight pictures by heart, people not seen, and one joint alone."""
from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable
from pathlib import Path

from ..commands import call, find_config
from ..config_variant import load_variant
from .page import machine, table, write_section
from .runs import described, drawn, dump, newest, once

EPOCHS, TRAIN = 40, 6000
CONFIG, SINGLE = (Path('configs', 'blip', f'blip_{name}_1xb16-40e_toypeople-128x128.py')
                  for name in ('tiny', 'tiny-single'))
SIDE = 128  # of the input, in pixels
JOINTS = ('rknee', 'lwri')
BY_HEART = 8
# Each epoch is one step.
STEPS_BY_HEART = 600


def compare(args: argparse.Namespace) -> None:
    """Trains, tests and writes the section on captions. Trainings that are there already are not repeated."""
    data = args.work_dir.resolve() / 'data' / 'toypeople'
    call('clamp-mmpose', 'make-toy-data', data, '--kind', 'people', '--train', args.train or TRAIN)
    annotations = data / 'annotations'
    call('clamp-mmpose', 'prepare-mpii-captions', annotations / 'mpii_train.json', annotations / 'mpii_val.json')
    runs = Runs(args, data)
    by_heart = runs.result('by-heart', _by_heart(runs.config(CONFIG, 0, epochs=STEPS_BY_HEART)))
    mean_pose = mean_pose_error(runs.config(CONFIG, 0))
    whole, alone = {}, {}
    for seed in args.seeds:
        whole[seed] = runs.result(f'all_seed{seed}', runs.config(CONFIG, seed))
        _write(args, by_heart, mean_pose, whole, alone)  # an interrupted run keeps what it has
    for joint in JOINTS:
        alone[joint] = runs.result(f'{joint}_seed{args.seeds[0]}', _only(joint, runs.config(SINGLE, args.seeds[0])))
        _write(args, by_heart, mean_pose, whole, alone)
    print(f'written: {args.out}')


class Runs:
    """Trainings and their tests, each in a folder of its own."""

    def __init__(self, args: argparse.Namespace, data: Path) -> None:
        self.folder, self.epochs, self.data = args.work_dir / 'captions', args.epochs or EPOCHS, data

    def config(self, path: Path, seed: int, *, epochs: int | None = None):
        """A shipped config on the data of this run; it validates once, at its end, and tells each joint's error."""
        epochs = epochs or self.epochs
        cfg = load_variant(find_config(path), {
            'randomness.seed': seed, 'train_cfg.max_epochs': epochs, 'train_cfg.val_interval': epochs,
            'default_hooks.checkpoint.interval': epochs, 'param_scheduler.1.end': epochs,
            'param_scheduler.1.T_max': epochs})
        old, new = cfg.data_root, f'{self.data}/'
        for stage in ('train', 'val', 'test'):
            dataset = cfg[f'{stage}_dataloader'].dataset
            dataset.data_root = new
            if 'headbox_file' in dataset:
                dataset.headbox_file = new + dataset.headbox_file[len(old):]
        for key in ('val_evaluator', 'test_evaluator'):
            cfg[key][0].per_keypoint = True
        return cfg

    def result(self, name: str, cfg) -> dict:
        """What the last validation of a training told, and its minutes."""
        work_dir = self.folder / name
        return once(work_dir, described(cfg) + drawn(self.data), lambda: _train(work_dir, cfg))


def _train(work_dir: Path, cfg) -> dict:
    """The validation after the last epoch."""
    call('mim', 'train', 'mmpose', dump(cfg, work_dir), '--work-dir', work_dir)
    rows = [json.loads(line) for line in newest(work_dir, '*/vis_data/scalars.json').read_text().splitlines()]
    return [row for row in rows if 'caption/MAE' in row][-1]


def _by_heart(cfg):
    """Learns a few pictures and is tested on them, without flips and noise."""
    train, val = cfg.train_dataloader, cfg.val_dataloader
    train.batch_size = BY_HEART
    train.dataset.indices = BY_HEART
    train.dataset.pipeline = [step for step in train.dataset.pipeline if step['type'] != 'RandomFlip']
    cfg.model.context_noise = None
    for loader in (val, cfg.test_dataloader):
        loader.dataset.update(ann_file=train.dataset.ann_file, indices=BY_HEART)
        loader.dataset.pop('headbox_file', None)
    for key in ('val_evaluator', 'test_evaluator'):
        cfg[key] = cfg[key][:1]
    return cfg


def _only(joint: str, cfg):
    """The joint in place of the config's, wherever the codec is."""

    def change(value) -> None:
        if isinstance(value, dict):
            if value.get('type') == 'CaptionPose':
                value['joints'] = [joint]
            change(list(value.values()))
        elif isinstance(value, (list, tuple)):
            for item in value:
                change(item)

    change(cfg._cfg_dict)
    return cfg


def mean_pose_error(cfg) -> float:
    """The error in input pixels of the mean pose of those to learn from, taken for every one not seen."""
    import numpy as np
    from mmengine.registry import init_default_scope
    from mmpose.registry import DATASETS
    init_default_scope('mmpose')
    poses = []
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        # Where the keypoints are in the input, without what is random.
        steps = [step for step in cfg.val_dataloader.dataset.pipeline if step['type'] != 'PackPoseInputs']
        dataset = DATASETS.build(dict(loader.dataset, pipeline=steps))
        poses.append(np.concatenate([dataset[index]['transformed_keypoints'] for index in range(len(dataset))]))
    known, unseen = poses
    return float(np.linalg.norm(unseen - known.mean(axis=0), axis=-1).mean())


def _write(args: argparse.Namespace, by_heart: dict, mean_pose: float, whole: dict[int, dict],
           alone: dict[str, dict]) -> None:
    names = _keypoints()
    lines = [f'Error in per cent of the side of the input, {SIDE} pixels, on people not seen, after the last epoch. '
             f'{args.train or TRAIN} pictures, of whose people those alone and complete are taken; '
             f'{args.epochs or EPOCHS} epochs; {machine()}.', '',
             f'By heart: {by_heart["caption/exact"]:.0%} of {BY_HEART} captions are exact after {STEPS_BY_HEART} steps '
             'on them.', '']
    if whole:
        rows = [[str(seed), *_cells(result, ['caption/MAE', *(f'caption/MAE/{name}' for name in names.values())]),
                 f'{result["caption/parse_rate"]:.0%}', f'{result.get("minutes", float("nan")):.1f}']
                for seed, result in whole.items()]
        mean = _mean(result['caption/MAE'] for result in whole.values())
        lines += [f'All joints: {mean} as the mean of the seeds. The mean pose of the people to learn from is '
                  f'{_mean([mean_pose])} away.', '',
                  *table(['seed', 'mean', *names, 'captions that parse', 'minutes'], rows), '']
    if alone:
        first = next(iter(whole.values()))
        rows = [[joint, *_cells(first, [f'caption/MAE/{names[joint]}']), *_cells(result, ['caption/MAE'])]
                for joint, result in alone.items()]
        lines += [f'One joint alone, in as many steps, seed {next(iter(whole))}:', '',
                  *table(['joint', 'learnt with all', 'learnt alone'], rows)]
    write_section(args.out, 'Pose captions', lines)


def _keypoints() -> dict[str, str]:
    """The caption's names of MPII's keypoints, and the dataset's."""
    from mmpose.datasets.datasets.utils import parse_pose_metainfo
    metainfo = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/mpii.py'))
    return dict(zip(load_variant(find_config(CONFIG), {}).caption_names, metainfo['keypoint_id2name'].values()))


def _cells(result: dict, keys: Iterable[str]) -> list[str]:
    return [f'{100 * result[key] / SIDE:.1f}' for key in keys]


def _mean(errors: Iterable[float]) -> str:
    return f'{100 * statistics.mean(errors) / SIDE:.1f} %'
