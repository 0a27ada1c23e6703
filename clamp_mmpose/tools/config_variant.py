"""Shipped configs with other data, seeds or lengths, as files that `mim` can be given.

``mim train ... --cfg-options`` would do, but for paths: MMEngine takes the spaces out of them.
"""

from __future__ import annotations

import copy
import functools
import warnings
from pathlib import Path


def load_variant(config: Path, options: dict):
    """The ``mmengine.Config`` of a file with changes: dotted keys, as in ``--cfg-options``."""
    cfg = copy.deepcopy(_load(config))
    cfg.merge_from_dict(options)
    return cfg


@functools.cache
def _load(config: Path):
    from mmengine.config import Config
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # pkg_resources, for each `mmpose::` base
        return Config.fromfile(config, import_custom_modules=False)


def shorten(epochs: int) -> dict:
    """Changes the length of a toy training: its warm-up stays, its cosine ends with it, and it validates once, then."""
    return {
        'train_cfg.max_epochs': epochs,
        'train_cfg.val_interval': epochs,
        'param_scheduler.1.end': epochs,
        'param_scheduler.1.T_max': epochs,
    }


def relocate(cfg: dict, data_root: Path) -> dict:
    """Reads everything that the config has under its ``data_root`` from another folder."""
    old, new = cfg['data_root'], f'{data_root}/'
    options = {'data_root': new}
    for stage in ('train', 'val', 'test'):
        dataset = cfg[f'{stage}_dataloader']['dataset']
        for key in ('data_root', 'bbox_file'):
            if (dataset.get(key) or '').startswith(old):
                options[f'{stage}_dataloader.dataset.{key}'] = new + dataset[key][len(old):]
    for key in ('val_evaluator', 'test_evaluator'):
        options[f'{key}.ann_file'] = new + cfg[key]['ann_file'][len(old):]
    return options
