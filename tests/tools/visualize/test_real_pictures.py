"""Figures of a full-size model on real animals, where CLAMP_MMPOSE_REAL_DATA names some: see test_real_data.py."""
import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from clamp_mmpose.tools.cli import main

DATA = os.environ.get('CLAMP_MMPOSE_REAL_DATA')
CONFIG = 'configs/clamp/clamp_rn50_4xb32-210e_ap10k-256x256.py'
RANDOM = ['model.backbone.init_cfg=None', 'model.neck.text_encoder.init_cfg=None']


@pytest.mark.skipif(not DATA, reason='CLAMP_MMPOSE_REAL_DATA names no folder of real images')
def test_all_figures_of_real_animals(tmp_path):
    folder = Path(DATA).resolve() / 'ap10k'
    model = Config.fromfile(CONFIG).model
    model.backbone.init_cfg = model.neck.text_encoder.init_cfg = None
    torch.save(dict(state_dict=MODELS.build(model).state_dict()), tmp_path / 'random.pth')
    data = [f'val_dataloader.dataset.data_root={folder}/', 'val_dataloader.dataset.ann_file=test_ap10k.json',
            'val_dataloader.dataset.data_prefix.img=']
    start = ['visualize', CONFIG, str(tmp_path / 'random.pth'), '--figure', 'all', '--cfg-options', *RANDOM]
    assert main([*start, *data, '--out', str(tmp_path / 'val'), '--mean-over', '2']) == 0
    assert {path.name for path in (tmp_path / 'val').iterdir()} >= {
        'poses.png', 'score_map_overlay_2.png', 'similarity_mean.png', 'similarity.csv', 'prompts.csv'}
    assert main([*start, '--out', str(tmp_path / 'own'), '--images', str(folder), '--boxes',
                 str(folder / 'test_ap10k.json')]) == 0
    assert {path.name for path in (tmp_path / 'own').iterdir()} >= {'poses.png', 'score_map_overlay_2.png'}
