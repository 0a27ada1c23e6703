"""Every shipped pose config: pipelines, model, losses and optimizer, in towers a few channels wide, without weights."""
import re
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.models import build_pose_estimator
from mmpose.registry import DATASETS, HOOKS, METRICS

from clamp_mmpose.testing import randomize, shrink_model

FOLDER = Path(__file__).parents[2] / 'configs'
# Those of detectors, test_detection_configs.py tests; those of captions, test_caption_configs.py.
CONFIGS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob('*.py')
                 if not {'_base_', 'blip'} & {*path.parts} and not path.stem.endswith('-det'))


# Attention over the cells of stride 4 is slow on a CPU: of LOFR, one of each kind trains with the fast tests.
QUICK = ('res50_4xb32-160e_coco-256x192', 'res50-base_4xb32-160e_coco-256x192', 'res50_4xb32-160e_coco-25pct-256x192',
         'res50_4xb32-160e_mpii-256x256', 'hrnet-w32_4xb32-160e_coco-256x192', 'res50_4xb32-210e_crowdpose-256x192')
STEPPED = [pytest.param(name, marks=pytest.mark.slow)
           if name.startswith('lofr/') and 'tiny' not in name and name[len('lofr/lofr_'):-3] not in QUICK else name
           for name in CONFIGS]


@cache
def load(name):
    return Config.fromfile(FOLDER / name)


def pose_head(cfg):
    """The head itself, where it carries auxiliary losses."""
    return cfg.model.head.get('head', cfg.model.head)


def location_free(cfg):
    """Whether the model sees no keypoint location."""
    return cfg.model.head.type == 'LOFRHead' and not cfg.model.head.get('keypoint_loss')


def is_delta(name):
    """Whether the config starts from another recipe, not only from ``_base_``."""
    return any('_base_' not in base for base in re.findall(r"'([^']+\.py)'", _base_line(name)))


def _base_line(name):
    return re.search(r'^_base_ = (.*)$', (FOLDER / name).read_text(), flags=re.M).group(1)


def metainfo_of(cfg):
    return parse_pose_metainfo(cfg.val_dataloader.dataset.get('metainfo') or DATASETS.get(cfg.dataset_type).METAINFO)


def samples(cfg, folder, *, training, count=2):
    """What the config's data loader would give for a picture of noise with one animal or person in it."""
    metainfo = metainfo_of(cfg)
    num_keypoints = metainfo['num_keypoints']
    rng = np.random.default_rng(0)
    path = str(folder / 'picture.jpg')
    cv2.imwrite(path, rng.integers(0, 256, (240, 320, 3), dtype=np.uint8))
    pipeline = Compose((cfg.train_dataloader if training else cfg.val_dataloader).dataset.pipeline)
    packed = []
    for index in range(count):
        packed.append(pipeline(dict(
            id=index, img_id=index, img_path=path, category_id=1, bbox_score=np.ones(1, np.float32),
            bbox=np.array([[60, 40, 260, 200]], np.float32),
            keypoints=rng.uniform((60, 40), (260, 200), (1, num_keypoints, 2)).astype(np.float32),
            keypoints_visible=np.ones((1, num_keypoints), np.float32),
            **{key: metainfo[key] for key in ('flip_indices', 'flip_pairs', 'upper_body_ids', 'lower_body_ids')},
            dataset_keypoint_weights=metainfo['dataset_keypoint_weights'])))
    return pseudo_collate(packed)


def build(cfg):
    return randomize(build_pose_estimator(shrink_model(cfg.model)))


def test_there_are_configs():
    assert len(CONFIGS) >= 8


@pytest.mark.parametrize('name', STEPPED)
def test_a_config_trains_a_step_and_predicts(name, tmp_path):
    cfg = load(name)
    model = build(cfg).train()
    losses = model(**model.data_preprocessor(samples(cfg, tmp_path, training=True), True), mode='loss')
    model.parse_losses(losses)[0].backward()
    # What no loss reaches would stop DistributedDataParallel.
    assert [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None] == []

    model.zero_grad()
    optim_wrapper = Runner.build_optim_wrapper(RunnerStub(model), dict(cfg.optim_wrapper, type='OptimWrapper'))
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    logs = model.train_step(samples(cfg, tmp_path, training=True), optim_wrapper)
    assert {'loss_kpt', 'loss_cls_decoder'} & set(logs) and all(torch.isfinite(value).all() for value in logs.values())
    changed = {key for key, parameter in model.named_parameters() if not torch.equal(parameter, before[key])}
    trained = {key.split('.')[0] for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert {key.split('.')[0] for key in changed} == trained
    # With a fixed template and a backbone that embeds the neck has nothing to learn.
    learns = cfg.model.get('neck') and (
        cfg.model.neck.get('prompting') != 'template' or 'embedding' in cfg.model.neck)
    frozen = cfg.model.get('stage') == 'meta'  # MeTTA's backbone, after its joint stage
    assert trained == {'head', *(['backbone'] if not frozen else []), *(['neck'] if learns and not frozen else [])}
    assert not any('text_encoder' in key for key in changed)

    model.eval()
    num_keypoints = pose_head(load(name)).out_channels
    with torch.no_grad():
        results = model.test_step(samples(cfg, tmp_path, training=False))
    for result in results:
        assert result.pred_instances.keypoints.shape == (1, num_keypoints, 2)
        assert np.isfinite(result.pred_instances.keypoints).all()


class RunnerStub:
    """All that ``Runner.build_optim_wrapper`` needs of a runner."""

    def __init__(self, model):
        self.model = model


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_brings_the_plugin_and_what_mmpose_asks_for(name):
    cfg = load(name)
    assert cfg.custom_imports == dict(imports=['clamp_mmpose'], allow_failed_imports=False)
    assert cfg.default_scope == 'mmpose'
    # The inferencer reads these two at the top level.
    assert cfg.data_mode == 'topdown' and DATASETS.get(cfg.dataset_type) is not None
    assert all(HOOKS.get(hook['type']) is not None for hook in [*cfg.custom_hooks, *cfg.default_hooks.values()])
    for hook in ('EpochSeedHook', 'ModelCheckHook'):
        assert dict(type=hook) in cfg.custom_hooks
    worker_init = cfg.train_dataloader.get('worker_init_fn')
    assert worker_init is None or FUNCTIONS.get(worker_init.type) is not None
    assert METRICS.get(cfg.val_evaluator.type) is not None
    # A table of tags has nothing to test against.
    assert cfg.train_dataloader.dataset.type in (cfg.dataset_type, 'PresenceTagDataset')
    assert cfg.val_dataloader.dataset.type == cfg.dataset_type
    if 'ann_file' in cfg.val_evaluator:
        assert cfg.val_dataloader.dataset.ann_file in cfg.val_evaluator.ann_file


@pytest.mark.parametrize('name', CONFIGS)
def test_sizes_agree_through_codec_model_and_pipelines(name):
    cfg = load(name)
    size = tuple(cfg.codec.input_size)
    assert tuple(cfg.model.backbone.get('input_size', size)) == size
    embedding = (cfg.model.get('neck') or {}).get('embedding', {})
    assert tuple(embedding.get('input_size', size)) == size
    assert pose_head(cfg).decoder == cfg.codec
    train, val = cfg.train_dataloader.dataset.pipeline, cfg.val_dataloader.dataset.pipeline
    for pipeline in (train, val, cfg.test_dataloader.dataset.pipeline):
        assert [tuple(t.input_size) for t in pipeline if t.type == 'TopdownAffine'] == [size]
    targets = [t.encoder for t in train if t.type == 'GenerateTarget']
    assert targets == ([] if location_free(cfg) else [cfg.codec])
    width, height = re.search(r'-(\d+)x(\d+)\.py$', name).groups()[::-1]
    assert (int(width), int(height)) == size  # MMPose's file names say height x width


@pytest.mark.parametrize('name', CONFIGS)
def test_as_many_names_as_keypoints(name):
    cfg = load(name)
    count = metainfo_of(cfg)['num_keypoints']
    assert pose_head(cfg).out_channels == count
    if cfg.model.get('neck'):
        assert len(cfg.model.neck.get('keypoint_names') or cfg.model.neck.names) == count


@pytest.mark.parametrize('name', CONFIGS)
def test_file_names_say_the_batch_and_the_epochs(name):
    cfg = load(name)
    gpus, batch, epochs = (int(x) for x in re.search(r'_(\d+)xb(\d+)-(\d+)e_', name).groups())
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.get('auto_scale_lr', dict(base_batch_size=gpus * batch))['base_batch_size'] == gpus * batch
    assert max(scheduler.end for scheduler in cfg.param_scheduler if scheduler.by_epoch) == epochs


@pytest.mark.parametrize('name', [name for name in CONFIGS if is_delta(name)])
def test_a_delta_is_short(name):
    assert len((FOLDER / name).read_text().splitlines()) <= 30


RELEASED = {  # weight of the spatial loss, rate of the backbone, drop path
    'clamp/clamp_rn50_4xb32-210e_ap10k-256x256.py': (0.4, 5e-4, None),
    'clamp/clamp_vit-b16_4xb32-210e_ap10k-256x256.py': (2.0, 5e-5, 0.4),
    'clamp/clamp_vit-l14_4xb32-210e_ap10k-224x224.py': (1.0, 5e-5, 0.4),
}


@pytest.mark.parametrize('name', RELEASED)
def test_the_recipes_are_the_released_ones(name):
    spatial, rate, drop_path = RELEASED[name]
    cfg = load(name)
    head, backbone = cfg.model.head, cfg.model.backbone
    assert (head.loss.get('loss_weight', 1.0), head.spatial_loss.loss_weight, head.feature_loss.loss_weight) == (
        1.0, spatial, 5e-4)
    assert backbone.get('drop_path_rate') == drop_path
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=5e-4, weight_decay=1e-4)
    warmup, steps = cfg.param_scheduler
    assert (warmup.end, warmup.start_factor, warmup.by_epoch) == (500, 0.001, False)
    assert (steps.milestones, steps.gamma) == ([170, 200], 0.1)
    assert cfg.train_dataloader.batch_size == 32 and cfg.train_cfg.max_epochs == 210
    assert (cfg.codec.sigma, cfg.codec.heatmap_size) == (2, (64, 64))
    assert cfg.model.test_cfg == dict(flip_test=True, flip_mode='heatmap', shift_heatmap=True)
    model = build(cfg)
    groups = Runner.build_optim_wrapper(RunnerStub(model), dict(cfg.optim_wrapper, type='OptimWrapper')).param_groups
    rates = {id(p): group['lr'] for group in groups for p in group['params']}
    decays = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert rates[id(parameter)] == pytest.approx(rate if key.startswith('backbone') else 5e-4), key
            plain = 'norm' in key or ('rn50' in name and 'bias' in key)
            assert decays[id(parameter)] == (0 if plain else 1e-4), key


AP10K, COCO = '4xb32-210e_ap10k-256x256', '4xb32-210e_coco-256x192'
PAIRS = ('bovidae2canidae', 'canidae2felidae', 'bovidae2equidae', 'bovidae2felidae', 'canidae2cricetidae',
         'canidae2equidae')
SPLITS = [  # config, the recipe whose delta it is, training file, test file
    *((f'{model}_4xb16-210e_ap10k-20shot-256x256', f'{model}_{AP10K}',
       'ap10k-train-split1_20shot-seed0', 'ap10k-val-split1')
      for model in ('simplebaseline_resnet50', 'simplebaseline_clip-rn50', 'clamp_rn50', 'simplebaseline_clip-vit-b16',
                    'clamp_vit-b16')),
    *((f'{model}_4xb32-210e_ap10k-{pair}-256x256', f'{model}_{AP10K}',
       f'ap10k-train-split1_{pair.split("2")[0]}', f'ap10k-val-split1_{pair.split("2")[1]}')
      for model in ('simplebaseline_clip-rn50', 'clamp_rn50') for pair in PAIRS),
    *((f'{model}_4xb32-210e_coco-{percent}pct-256x192', f'{model}_{COCO}',
       f'person_keypoints_train2017_{percent}pct-seed0', 'person_keypoints_val2017')
      for model in ('simplebaseline_clip-vit-b16', 'clamp_vit-b16') for percent in (1, 2, 3, 5, 10)),
]


@pytest.mark.parametrize('name, recipe, train, test', SPLITS, ids=[name for name, *_ in SPLITS])
def test_a_protocol_changes_the_files_and_for_few_shots_batch_and_rate(name, recipe, train, test):
    cfg, base = load(f'clamp/{name}.py'), load(f'clamp/{recipe}.py')
    assert cfg.train_dataloader.dataset.ann_file == f'annotations/{train}.json'
    for stage in ('val', 'test'):
        assert cfg[f'{stage}_dataloader'].dataset.ann_file == f'annotations/{test}.json'
        assert cfg[f'{stage}_evaluator'].ann_file == f'{cfg.data_root}annotations/{test}.json'
    few = '20shot' in name
    assert cfg.train_dataloader.batch_size == (16 if few else 32)
    assert cfg.auto_scale_lr.base_batch_size == (64 if few else 128)
    assert cfg.optim_wrapper.optimizer.lr == (5e-5 if few and 'vit' in name else 5e-4)
    assert cfg.optim_wrapper.paramwise_cfg == base.optim_wrapper.paramwise_cfg
    for same in ('model', 'codec', 'param_scheduler', 'train_cfg', 'train_pipeline', 'val_pipeline'):
        assert cfg[same] == base[same], same


def differences(ours, base, key=''):
    """Dotted keys whose values differ."""
    if isinstance(ours, dict) and isinstance(base, dict):
        return {found for name in {*ours, *base}
                for found in differences(ours.get(name, ...), base.get(name, ...), f'{key}.{name}' if key else name)}
    return set() if ours == base else {key}


@pytest.mark.parametrize('tower, tail', [('rn50', AP10K), ('tiny', '1xb16-30e_toyanimals-128x128')])
@pytest.mark.parametrize('variant, left_out', [
    ('no-feature-no-prompt-encoder', {'head.feature_loss', 'neck.prompt_encoder'}),
    ('no-prompt-encoder', {'neck.prompt_encoder'}),
    ('no-spatial', {'head.spatial_loss'}),
    ('no-feature', {'head.feature_loss'}),
])
def test_an_ablation_leaves_out_what_it_says_and_no_more(tower, tail, variant, left_out):
    cfg, base = load(f'clamp/clamp_{tower}-{variant}_{tail}.py'), load(f'clamp/clamp_{tower}_{tail}.py')
    assert differences(cfg.to_dict(), base.to_dict()) == {f'model.{key}' for key in left_out}
    for key in left_out:
        part, name = key.split('.')
        assert name in cfg.model[part] and cfg.model[part][name] is None


def test_the_trainable_matrix_takes_the_place_of_all_that_makes_the_prompts_embedding():
    cfg, base = load(f'clamp/clamp_vit-b16-matrix_{AP10K}.py'), load(f'clamp/clamp_vit-b16_{AP10K}.py')
    changed = {'text_encoder', 'embed_dim', 'prompt_encoder', 'context_decoder'}
    assert differences(cfg.to_dict(), base.to_dict()) == {f'model.neck.{key}' for key in changed}
    assert cfg.model.neck.embed_dim == 512  # ViT-B/16's
    model = build(cfg)
    assert [key for key, _ in model.neck.named_parameters()] == ['prompts.embedding']


BASELINES = [(f'simplebaseline_{clip}_{tail}', f'clamp_{tower}_{tail}') for clip, tower, tail in [
    ('clip-rn50', 'rn50', AP10K), ('clip-vit-b16', 'vit-b16', AP10K), ('clip-vit-b16', 'vit-b16', COCO),
    ('clip-vit-l14', 'vit-l14', '4xb32-210e_ap10k-224x224'),
    ('clip-rn50', 'rn50', '4xb32-210e_animalpose-256x256'),
    ('clip-vit-b16', 'vit-b16', '4xb32-210e_animalpose-256x256'),
    ('resnet50', 'rn50', AP10K), ('resnet50', 'rn50', '4xb32-210e_animalpose-256x256'),
]]


@pytest.mark.parametrize('baseline, clamp', BASELINES, ids=[name for name, _ in BASELINES])
def test_a_baseline_has_the_recipe_of_clamp_and_nothing_of_language(baseline, clamp):
    cfg, ours = load(f'clamp/{baseline}.py'), load(f'clamp/{clamp}.py')
    changed = {'.'.join(key.split('.')[:2]) for key in differences(cfg.to_dict(), ours.to_dict())}
    assert changed == {'model.backbone', 'model.neck', 'model.head'}
    assert cfg.model.neck is None and cfg.model.head.type == 'HeatmapHead'
    for key, default in (('deconv_out_channels', (256, 256, 256)), ('deconv_kernel_sizes', (4, 4, 4))):
        assert cfg.model.head.get(key, default) == ours.model.head.get(key, default)
    if 'clip' in baseline:
        assert cfg.model.backbone == dict(ours.model.backbone, with_embedding=False)
    else:
        weights = dict(type='Pretrained', checkpoint='torchvision://resnet50')
        assert cfg.model.backbone == dict(type='ResNet', depth=50, init_cfg=weights)


def test_animal_pose_with_a_resnet_has_the_recipe_of_ap10k():
    ours, ap10k = load('clamp/clamp_rn50_4xb32-210e_animalpose-256x256.py'), load(f'clamp/clamp_rn50_{AP10K}.py')
    assert ours.optim_wrapper == ap10k.optim_wrapper and ours.param_scheduler == ap10k.param_scheduler
    assert ours.model.backbone == ap10k.model.backbone
    assert ours.model.head.spatial_loss.loss_weight == 0.4 and ours.model.head.feature_loss.loss_weight == 5e-4
    assert ours.model.head.in_channels == 2048 + 20
    # What the other config gets from the defaults.
    head = build(ours).head
    assert len(head.deconv_layers) == len(build(ap10k).head.deconv_layers)
    assert ours.model.head.score_head == dict(deconv_out_channels=(256, 256, 256))
