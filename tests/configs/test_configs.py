"""Every shipped config: it parses, builds, takes one loss step and predicts; its names are the dataset's keypoints."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import FUNCTIONS
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS, HOOKS, MODELS, TRANSFORMS

from clamp_mmpose.testing import pack_batch, shrink_model

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts)
NAMES = sorted((ROOT / 'configs' / '_base_' / 'keypoint_names').glob('*.py'))
# MMPose ships no metainfo for Penn Action
METAINFO = {path.stem: path for path in NAMES if path.stem != 'pennaction'}

by_name = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


@by_name
def test_config_takes_a_loss_step_and_predicts(path):
    config = Config.fromfile(path)
    model = MODELS.build(shrink_model(config.model.to_dict()))
    codec, num_keypoints = config.codec.to_dict(), len(config.keypoint_names)
    dataset = DATASETS.get(config.dataset_type)
    metainfo = parse_pose_metainfo(dataset.METAINFO)
    assert metainfo['num_keypoints'] == num_keypoints == model.head.out_channels
    batch = pack_batch(codec, num_keypoints, flip_indices=metainfo['flip_indices'])

    data = model.data_preprocessor(batch, training=True)
    losses = model(**data, mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total) and total > 0
    without = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    assert not without, 'parameters that no loss reaches stop DistributedDataParallel'

    model.eval()
    with torch.no_grad():
        results = model(**model.data_preprocessor(batch), mode='predict')
    assert results[0].pred_instances.keypoints.shape == (1, num_keypoints, 2)


@by_name
def test_config_is_one_that_mim_and_the_inferencer_can_run(path):
    config = Config.fromfile(path)
    assert config.custom_imports.imports == ['clamp_mmpose']
    assert config.default_scope == 'mmpose' and config.data_mode == 'topdown'
    for hook in config.custom_hooks:
        HOOKS.build(hook)
    assert dict(type='EpochSeedHook') in config.custom_hooks
    assert FUNCTIONS.get(config.train_dataloader.get('worker_init_fn', {}).get('type', 'epoch_worker_init'))
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        assert loader.dataset.type == config.dataset_type
        sizes = {step.input_size for step in loader.dataset.pipeline if step.type == 'TopdownAffine'}
        assert sizes == {config.codec.input_size} == {config.model.backbone.input_size}
        for step in loader.dataset.pipeline:
            TRANSFORMS.build(step)
    assert config.model.head.decoder == config.codec
    encoders = [step.encoder for step in config.train_dataloader.dataset.pipeline if step.type == 'GenerateTarget']
    assert encoders == [config.codec]


@by_name
def test_a_delta_is_short(path):
    lines = path.read_text().splitlines()
    if "_base_ = ['./" in lines[0]:
        assert len(lines) <= 30


@pytest.mark.parametrize('dataset', METAINFO, ids=str)
def test_names_follow_the_keypoints_of_mmpose(dataset):
    names = Config.fromfile(METAINFO[dataset]).keypoint_names
    metainfo = parse_pose_metainfo(dict(from_file=f'configs/_base_/datasets/{dataset}.py'))
    theirs = [metainfo['keypoint_id2name'][index] for index in range(metainfo['num_keypoints'])]
    assert len(names) == len(theirs)
    for index, (ours, their) in enumerate(zip(names, theirs)):
        their = their.lower().replace('_', ' ')
        side = 'left' if their.startswith(('left', 'l ')) else 'right' if their.startswith(('right', 'r ')) else ''
        assert side == (ours.split()[0] if ours.split()[0] in ('left', 'right') else ''), (ours, their)
        assert set(ours.split()) & set(their.split()) or ours in SYNONYMS, (ours, their)
        partner = names[metainfo['flip_indices'][index]]
        swapped = {'left': 'right', 'right': 'left'}
        assert partner == ' '.join(swapped.get(word, word) for word in ours.split()), (ours, partner)


# Ours in everyday words, theirs an abbreviation or another word
SYNONYMS = ('tail base', 'tail root', 'pelvis')


def test_penn_action_names_are_its_thirteen_joints():
    names = Config.fromfile(ROOT / 'configs/_base_/keypoint_names/pennaction.py').keypoint_names
    parts = ['shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle']
    assert names == ['head', *(f'{side} {part}' for part in parts for side in ('left', 'right'))]
