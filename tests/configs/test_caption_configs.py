"""The shipped configs of pose captions: pipelines, captions, model, loss, optimizer, in towers a few channels wide."""
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS, HOOKS, KEYPOINT_CODECS, METRICS
from test_configs import RunnerStub, build, differences, load, samples

FOLDER = Path(__file__).parents[2] / 'configs'
CONFIGS = sorted(path.relative_to(FOLDER).as_posix() for path in (FOLDER / 'blip').glob('*.py'))
BASE = 'blip/blip-base_1xb4-25e_mpii-384x384.py'
PAPER = [name for name in CONFIGS if '_mpii-' in name]


def pipelines(cfg):
    return [cfg[f'{stage}_dataloader'].dataset.pipeline for stage in ('train', 'val', 'test')]


def evaluators(cfg):
    return cfg.val_evaluator if isinstance(cfg.val_evaluator, list) else [cfg.val_evaluator]


def test_there_are_configs():
    assert len(PAPER) >= 11 and len(CONFIGS) > len(PAPER)


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_trains_a_step_and_predicts(name, tmp_path):
    cfg = load(name)
    model = build(cfg).train()
    losses = model(**model.data_preprocessor(samples(cfg, tmp_path, training=True), True), mode='loss')
    model.parse_losses(losses)[0].backward()
    # "All parameters are trained", and none would stop DistributedDataParallel.
    assert [key for key, p in model.named_parameters() if not p.requires_grad or p.grad is None] == []

    model.zero_grad()
    optim_wrapper = Runner.build_optim_wrapper(RunnerStub(model), dict(cfg.optim_wrapper, type='OptimWrapper'))
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    logs = model.train_step(samples(cfg, tmp_path, training=True), optim_wrapper)
    assert 'loss_caption' in logs and torch.isfinite(logs['loss'])
    changed = {'.'.join(key.split('.')[:2]) for key, p in model.named_parameters() if not torch.equal(p, before[key])}
    assert changed == {'blip.vision_model', 'blip.text_decoder'}

    num_keypoints = parse_pose_metainfo(DATASETS.get(cfg.dataset_type).METAINFO)['num_keypoints']
    with torch.no_grad():
        results = model.eval().test_step(samples(cfg, tmp_path, training=False))
    for result in results:
        assert result.pred_instances.keypoints.shape == (1, num_keypoints, 2)
        assert np.isfinite(result.pred_instances.keypoints).all()
        assert result.pred_caption['ok']


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_brings_the_plugin_and_what_mmpose_asks_for(name):
    cfg = load(name)
    assert cfg.custom_imports == dict(imports=['clamp_mmpose'], allow_failed_imports=False)
    assert cfg.default_scope == 'mmpose'
    assert cfg.data_mode == 'topdown' and DATASETS.get(cfg.dataset_type) is not None
    assert all(HOOKS.get(hook['type']) is not None for hook in cfg.custom_hooks)
    for hook in ('EpochSeedHook', 'ModelCheckHook'):
        assert dict(type=hook) in cfg.custom_hooks
    worker_init = cfg.train_dataloader.get('worker_init_fn')
    assert worker_init is None or FUNCTIONS.get(worker_init.type) is not None
    assert cfg.train_dataloader.dataset.type == cfg.val_dataloader.dataset.type == cfg.dataset_type
    assert cfg.test_dataloader == cfg.val_dataloader and cfg.test_evaluator == cfg.val_evaluator
    for evaluator in evaluators(cfg):
        assert METRICS.get(evaluator.type) is not None
        if 'ann_file' in evaluator:
            assert evaluator.ann_file.endswith(cfg.val_dataloader.dataset.ann_file)
    prefix = cfg.default_hooks.checkpoint.save_best.split('/')[0]
    assert prefix in [METRICS.get(evaluator.type).default_prefix for evaluator in evaluators(cfg)]


@pytest.mark.parametrize('name', CONFIGS)
def test_codec_and_sizes_agree_through_model_pipelines_and_metric(name):
    cfg = load(name)
    size = tuple(cfg.codec.input_size)
    assert cfg.model.codec == cfg.codec
    for pipeline in pipelines(cfg):
        sizes = [tuple(step.input_size) for step in pipeline if step.type in ('TopdownAffine', 'WholeImageAffine')]
        assert sizes == [size]
    assert [step.encoder for step in pipelines(cfg)[0] if step.type == 'GenerateTarget'] == [cfg.codec]
    metrics = [evaluator for evaluator in evaluators(cfg) if evaluator.type == 'CaptionPoseMetric']
    assert [metric.codec for metric in metrics] == [cfg.codec]
    height, width = re.search(r'-(\d+)x(\d+)\.py$', name).groups()
    assert (int(width), int(height)) == size


@pytest.mark.parametrize('name', CONFIGS)
def test_the_codec_names_the_keypoints_of_the_dataset(name):
    cfg = load(name)
    names = KEYPOINT_CODECS.build(cfg.codec).names
    info = parse_pose_metainfo(DATASETS.get(cfg.dataset_type).METAINFO)
    assert len(names) == info['num_keypoints']
    # 'rknee' is the mirror image of 'lknee', as the metainfo has it.
    for name_, index in zip(names, info['flip_indices']):
        mirrored = {'r': 'l', 'l': 'r'}.get(name_[0], name_[0]) + name_[1:]
        assert names[index] == (mirrored if mirrored in names else name_)


@pytest.mark.parametrize('name', CONFIGS)
def test_file_names_say_the_batch_and_the_epochs(name):
    cfg = load(name)
    gpus, batch, epochs = (int(x) for x in re.search(r'_(\d+)xb(\d+)-(\d+)e_', name).groups())
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.get('auto_scale_lr', dict(base_batch_size=gpus * batch))['base_batch_size'] == gpus * batch
    assert max(scheduler.end for scheduler in cfg.param_scheduler if scheduler.by_epoch) == epochs


@pytest.mark.parametrize('name', [name for name in PAPER if name != BASE])
def test_a_delta_is_short(name):
    assert len((FOLDER / name).read_text().splitlines()) <= 30


OPTIMIZER, BATCH = 'optim_wrapper.optimizer', {'train_dataloader.batch_size', 'auto_scale_lr.base_batch_size'}
RATE = f'{OPTIMIZER}.lr'
VAL_FILES = {f'{stage}_dataloader.dataset.{key}' for stage in ('val', 'test') for key in ('ann_file', 'headbox_file')}
DELTAS = {
    'blip-base-lr5e-6_1xb4-25e_mpii': {RATE},
    'blip-base-lr5e-5_1xb4-25e_mpii': {RATE},
    'blip-base-lr5e-5_1xb1-25e_mpii': {RATE, *BATCH},
    'blip-base-lr5e-5_1xb2-25e_mpii': {RATE, *BATCH},
    'blip-base-adam-lr5e-5_1xb4-25e_mpii': {RATE, f'{OPTIMIZER}.type'},
    'blip-base-sgd-lr5e-5_1xb4-25e_mpii': {RATE, f'{OPTIMIZER}.type', f'{OPTIMIZER}.betas'},
    'blip-base_1xb4-25e_mpii-video': {'train_dataloader.dataset.ann_file', 'stem', *VAL_FILES},
}


@pytest.mark.parametrize('name', DELTAS)
def test_a_row_of_the_search_changes_what_it_says_and_no_more(name):
    cfg, base = (load(f'blip/{stem}-384x384.py') for stem in (name, 'blip-base_1xb4-25e_mpii'))
    assert differences(cfg.to_dict(), base.to_dict()) == DELTAS[name]
    rate = re.search(r'-lr(5e-\d)_', name)
    assert cfg.optim_wrapper.optimizer.lr == (float(rate.group(1)) if rate else 2e-5)


@pytest.mark.parametrize('name, style', [
    ('blip-base-normalized_1xb4-25e', 'normalized_text'), ('blip-base-visibility_1xb4-25e', 'visibility_text'),
    ('blip-base-single_1xb4-130e', 'single')])
def test_another_style_changes_the_captions_and_what_comes_of_it(name, style):
    cfg, base = load(f'blip/{name}_mpii-384x384.py'), load(BASE)
    changed = {key.split('.')[0] for key in differences(cfg.to_dict(), base.to_dict())}
    assert cfg.codec.style == style
    assert changed - {'codec', 'model', 'train_pipeline', 'train_dataloader', 'val_evaluator', 'test_evaluator'} == {
        'normalized_text': set(),
        'visibility_text': {'val_dataloader', 'test_dataloader', 'default_hooks'},
        'single': {'train_cfg', 'optim_wrapper', 'param_scheduler', 'default_hooks'},
    }[style]


def test_the_recipe_is_the_papers():
    cfg = load(BASE)
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=2e-5, betas=(0.9, 0.999))
    assert (cfg.train_dataloader.batch_size, cfg.train_cfg.max_epochs) == (4, 25)
    assert cfg.model.pretrained == 'Salesforce/blip-image-captioning-base'
    assert [scheduler.factor for scheduler in cfg.param_scheduler] == [1.0]
    single = load('blip/blip-base-single_1xb4-130e_mpii-384x384.py')
    assert (single.optim_wrapper.optimizer.lr, single.train_cfg.max_epochs, single.train_cfg.val_interval) == (
        5e-5, 130, 5)
    codec = KEYPOINT_CODECS.build(single.codec)
    points = np.zeros((16, 2))
    points[8] = 100, 200  # MPII's upper neck
    assert codec.write(points) == 'neck: (100, 200)'


def test_pictures_are_normalised_as_blip_was_trained():
    # OPENAI_CLIP_MEAN and OPENAI_CLIP_STD of transformers
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    for name in CONFIGS:
        preprocessor = load(name).model.data_preprocessor
        np.testing.assert_allclose(preprocessor.mean, 255 * np.array(mean), atol=1e-3)
        np.testing.assert_allclose(preprocessor.std, 255 * np.array(std), atol=1e-3)
        assert preprocessor.bgr_to_rgb


def test_epochs_to_look_at_are_kept():
    hook = load(BASE).default_hooks.checkpoint
    kept = [epoch for epoch in range(1, 26) if (epoch - hook.save_begin) % hook.interval == 0 or epoch == 25]
    assert kept == [1, 15, 25]


def test_the_metafile_has_the_parameters_of_blip():
    from transformers import BlipConfig, BlipForConditionalGeneration

    config = BlipConfig(text_config=dict(num_attention_heads=12), vision_config=dict(image_size=384))
    with torch.device('meta'):
        number = sum(p.numel() for p in BlipForConditionalGeneration(config).parameters())
    models = yaml.safe_load((FOLDER / 'blip/metafile.yml').read_text())['Models']
    counted = {model['Name']: model['Metadata'].get('Parameters') for model in models}
    assert {value for name, value in counted.items() if name.startswith('blip-base')} == {number}
