"""MeTTA's recipes: the stages follow each other, and every way to test adapts alike."""
import re
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

FOLDER = Path(__file__).parents[2] / 'configs' / 'metta'
METAFILE = FOLDER / 'metafile.yml'
META = sorted(path.stem for path in FOLDER.glob('metta-meta_*.py'))
JOINT = sorted(path.stem for path in FOLDER.glob('metta-joint_*.py'))


def load(name):
    return Config.fromfile(FOLDER / f'{name}.py')


def test_every_joint_stage_has_its_meta_stage():
    """One with the same model and data."""
    models = [[re.sub(r'_\d+xb\d+-\d+e_', ' ', name.split('_', 1)[1]) for name in names] for names in (JOINT, META)]
    assert models[0] == models[1] and len(JOINT) >= 8


@pytest.mark.parametrize('joint, meta', list(zip(JOINT, META)), ids=META)
def test_the_meta_stage_goes_on_where_the_joint_one_ends(joint, meta):
    cfg, base = load(meta), load(joint)
    assert cfg.load_from == f'work_dirs/{joint}/epoch_{base.train_cfg.max_epochs}.pth'
    assert (base.model.stage, cfg.model.stage) == ('joint', 'meta')
    assert base.get('load_from') is None and 'adaptation' not in base.model.test_cfg
    for part in ('head', 'data_preprocessor'):
        assert cfg.model[part] == base.model[part]
    without_weights = dict(cfg.model.backbone), dict(base.model.backbone)
    for backbone in without_weights:
        backbone.pop('init_cfg', None)
    assert without_weights[0] == without_weights[1]
    assert cfg.model.backbone.get('init_cfg') is None  # nothing to download
    for same in ('codec', 'val_dataloader', 'val_evaluator'):
        assert cfg[same] == base[same], same


@pytest.mark.parametrize('name', [*JOINT, *META])
def test_the_name_says_what_the_recipe_does(name):
    cfg = load(name)
    gpus, batch, epochs = map(int, re.search(r'_(\d+)xb(\d+)-(\d+)e_', name).groups())
    assert (cfg.train_dataloader.batch_size, cfg.train_cfg.max_epochs) == (batch, epochs)
    assert cfg.auto_scale_lr.base_batch_size == gpus * batch


@pytest.mark.parametrize('name', META)
def test_the_hook_and_the_inferencer_adapt_as_the_meta_stage_has_trained(name):
    cfg = load(name)
    hooks = [hook for hook in [*cfg.custom_hooks, *cfg.default_hooks.values()] if hook.type == 'MeTTAHook']
    assert [{key: value for key, value in hook.items() if key != 'type'} for hook in hooks] == [
        cfg.model.test_cfg.adaptation]
    assert cfg.model.test_cfg.adaptation.steps == cfg.model.inner_loop.steps
    assert 'lr' not in cfg.model.test_cfg.adaptation  # the one of the training


def test_the_metafile_says_what_the_configs_do():
    models = {model['Name']: model['Metadata'] for model in yaml.safe_load(METAFILE.read_text())['Models']}
    assert models.keys() == {*JOINT, *META}
    for name, metadata in models.items():
        cfg = load(name)
        assert (metadata['Epochs'], metadata['Batch Size']) == (
            cfg.train_cfg.max_epochs, cfg.auto_scale_lr.base_batch_size), name


def test_penn_action_has_ttps_recipe():
    cfg = load('metta-joint_res50_1xb32-140e_pennaction-128x128')
    assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=1e-3)
    schedule, = cfg.param_scheduler
    assert (schedule.milestones, schedule.gamma, schedule.end) == ([90, 120], 0.1, 140)
    assert (cfg.codec.input_size, cfg.codec.heatmap_size, cfg.codec.sigma) == ((128, 128), (32, 32), 2)
    assert cfg.model.head.out_channels == 13 and cfg.model.backbone.depth == 50
    assert [step.type for step in cfg.val_pipeline].index('ShiftBBoxCenter') == 2


def test_human36m_is_read_as_mmposes_scripts_write_it():
    cfg = load('metta-joint_res50_1xb32-140e_h36m-128x128')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.metainfo.from_file == 'configs/_base_/datasets/h36m.py'
        assert 'split' not in loader.dataset
        assert 'ShiftBBoxCenter' not in [step.type for step in loader.dataset.pipeline]
