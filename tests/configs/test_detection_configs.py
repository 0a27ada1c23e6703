"""Every shipped detector: pipelines, model, losses and optimizer, in towers a few channels wide, without weights."""
import re
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import FUNCTIONS, init_default_scope
from mmengine.runner import Runner
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

from clamp_mmpose.datasets.toy.keypoint_formats import AP10K_CATEGORY_IDS
from clamp_mmpose.datasets.toy.species import SPECIES
from clamp_mmpose.testing import randomize, shrink_detector

FOLDER = Path(__file__).parents[2] / 'configs'
CONFIGS = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob('*-det.py'))
OURS = [name for name in CONFIGS if 'denseclip_' in name]
FULL = 'denseclip/denseclip_{}-{}_8xb2-12e_coco-det.py'


@pytest.fixture(autouse=True)
def mmdetections_scope(repeatable):
    init_default_scope('mmdet')


@cache
def load(name):
    return Config.fromfile(FOLDER / name)


@cache
def registry():
    import mmdet.models  # noqa: F401  (registers them)
    from mmdet.registry import MODELS
    return MODELS


def build(cfg):
    """A tiny detector that finds something whatever its scores are, in few regions."""
    model = shrink_detector(cfg.model)
    if 'rpn' in model.test_cfg:
        model.train_cfg.rpn_proposal.max_per_img = model.test_cfg.rpn.max_per_img = 20
        model.train_cfg.rcnn.sampler.num = 16
        model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=5)
    else:
        model.test_cfg.score_thr = 0.0
    return randomize(registry().build(model))


def classes(cfg):
    """What the dataset calls its classes, in the order of their labels."""
    from mmdet.registry import DATASETS
    dataset = cfg.train_dataloader.dataset
    assert dataset.get('metainfo') == cfg.val_dataloader.dataset.get('metainfo')
    return list((dataset.get('metainfo') or DATASETS.get(dataset.type).METAINFO)['classes'])


def samples(cfg, folder, *, training, count=2):
    """What the config's data loader would give for a picture of noise with two things in it, at a small size."""
    import mmdet.datasets.transforms  # noqa: F401
    rng = np.random.default_rng(0)
    path = str(folder / 'picture.jpg')
    cv2.imwrite(path, rng.integers(0, 256, (240, 320, 3), dtype=np.uint8))
    pipeline = (cfg.train_dataloader if training else cfg.val_dataloader).dataset.pipeline
    pipeline = Compose([dict(t, scale=(128, 96)) if t.type == 'Resize' else t for t in pipeline])
    num_classes = len(classes(cfg))
    packed = []
    for index in range(count):
        instances = []
        for label, (x1, y1, x2, y2) in zip((0, num_classes - 1), ((40, 30, 200, 180), (120, 60, 310, 230))):
            instances.append(dict(bbox=[x1, y1, x2, y2], bbox_label=label, ignore_flag=0,
                                  mask=[[x1, y1, x2, y1, x2, y2, x1, y2]]))
        packed.append(pipeline(dict(img_id=index, img_path=path, height=240, width=320, instances=instances)))
    return pseudo_collate(packed)


class RunnerStub:
    """All that ``Runner.build_optim_wrapper`` needs of a runner."""

    def __init__(self, model):
        self.model = model


def test_there_are_detectors():
    assert len(CONFIGS) >= 15 and len(OURS) >= 7


@pytest.mark.parametrize('name', CONFIGS)
def test_a_detector_trains_a_step_and_predicts(name, tmp_path):
    cfg = load(name)
    model = build(cfg).train()
    data = model.data_preprocessor(samples(cfg, tmp_path, training=True), True)
    losses = model(**data, mode='loss')
    assert ('loss_score' in losses) == (name in OURS)
    model.parse_losses(losses)[0].backward()
    # What no loss reaches would stop DistributedDataParallel.
    assert [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None] == []

    model.zero_grad()
    optim_wrapper = Runner.build_optim_wrapper(RunnerStub(model), dict(cfg.optim_wrapper, type='OptimWrapper'))
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    logs = model.train_step(samples(cfg, tmp_path, training=True), optim_wrapper)
    assert all(torch.isfinite(value).all() for value in logs.values())
    changed = {key for key, parameter in model.named_parameters() if not torch.equal(parameter, before[key])}
    heads = {'rpn_head', 'roi_head'} if 'mask-rcnn' in name else {'bbox_head'}
    assert {key.split('.')[0] for key in changed} == {'backbone', 'neck', *heads}
    assert any(key.startswith('neck.prompts.contexts') for key in changed) == (name in OURS)
    assert not any('text_encoder' in key for key in changed)

    model = build(cfg).eval()  # not the one that took a full-size step from noise
    with torch.no_grad():
        results = model.test_step(samples(cfg, tmp_path, training=False))
    for result in results:
        found = result.pred_instances
        assert len(found) > 0 and found.bboxes.shape == (len(found), 4) and torch.isfinite(found.bboxes).all()
        assert found.labels.min() >= 0 and found.labels.max() < len(classes(cfg))
        assert ('masks' in found) == ('mask-rcnn' in name)


@pytest.mark.parametrize('name', CONFIGS)
def test_a_detector_brings_the_plugin_and_its_hooks(name):
    from mmdet.registry import HOOKS, METRICS
    cfg = load(name)
    assert cfg.custom_imports == dict(imports=['clamp_mmpose'], allow_failed_imports=False)
    assert cfg.default_scope == 'mmdet'  # MMPose's inferencer reads it, and mim's scripts build by it
    for hook in ('mmpose.EpochSeedHook', 'mmpose.ModelCheckHook'):
        assert dict(type=hook) in cfg.custom_hooks and HOOKS.get(hook) is not None
    loader = cfg.train_dataloader
    if loader.num_workers:
        assert FUNCTIONS.get(loader.worker_init_fn.type) is not None and not loader.persistent_workers
    assert METRICS.get(cfg.val_evaluator.type) is not None
    assert cfg.val_dataloader == cfg.test_dataloader and cfg.val_evaluator == cfg.test_evaluator
    dataset = cfg.val_dataloader.dataset
    assert cfg.val_evaluator.ann_file == dataset.data_root + dataset.ann_file
    assert cfg.train_dataloader.dataset.data_root == dataset.data_root


@pytest.mark.parametrize('name', CONFIGS)
def test_names_are_the_classes_of_the_dataset_in_its_order(name):
    cfg = load(name)
    head = cfg.model.get('bbox_head') or cfg.model.roi_head
    head = head.get('head', head)
    assert head.get('bbox_head', head).num_classes == len(classes(cfg))
    if name in OURS:
        assert list(cfg.model.neck.names) == classes(cfg)
        assert cfg.model.neck.next_neck.in_channels[-1] > len(classes(cfg))


def test_classes_of_ap10k_are_its_categories_and_those_of_the_toy_the_drawn_ones():
    assert classes(load('denseclip/denseclip_rn50-retinanet_8xb2-12e_ap10k-det.py')) == list(AP10K_CATEGORY_IDS)
    drawn = sorted((species.name for species in SPECIES), key=AP10K_CATEGORY_IDS.get)
    (toy, ) = [name for name in CONFIGS if 'toyanimals' in name]
    assert classes(load(toy)) == drawn


@pytest.mark.parametrize('name', CONFIGS)
def test_file_names_say_the_batch_and_the_epochs(name):
    cfg = load(name)
    gpus, batch, epochs = (int(x) for x in re.search(r'_(\d+)xb(\d+)-(\d+)e_', name).groups())
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.auto_scale_lr.base_batch_size == gpus * batch
    assert max(scheduler.end for scheduler in cfg.param_scheduler if scheduler.by_epoch) == epochs


@pytest.mark.parametrize('name', CONFIGS)
def test_a_delta_is_short(name):
    text = (FOLDER / name).read_text()
    if "'./" in text or 'fpn_1x_coco' in text:
        assert len(text.splitlines()) <= 30


@pytest.mark.parametrize('detector, rate', [('retinanet', 1e-4), ('mask-rcnn', 2e-4)])
@pytest.mark.parametrize('method', ['denseclip', 'clip'])
@pytest.mark.parametrize('arch', ['rn50', 'rn101'])
def test_the_recipes_are_the_released_ones(method, arch, detector, rate):
    cfg = load(f'denseclip/{method}_{arch}-{detector}_8xb2-12e_coco-det.py')
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=rate, weight_decay=1e-4)
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=0.1, norm_type=2)
    warmup, steps = cfg.param_scheduler
    assert (warmup.end, warmup.start_factor, warmup.by_epoch) == (500, 0.001, False)
    assert (steps.milestones, steps.gamma) == ([8, 11], 0.1)
    assert cfg.sync_bn == 'torch'
    assert cfg.model.backbone.arch == f'{arch.upper()}-quickgelu'
    mean, std = OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    np.testing.assert_allclose(cfg.model.data_preprocessor.mean, 255 * np.array(mean), rtol=1e-6)
    np.testing.assert_allclose(cfg.model.data_preprocessor.std, 255 * np.array(std), rtol=1e-6)
    assert cfg.model.data_preprocessor.bgr_to_rgb and cfg.model.data_preprocessor.pad_size_divisor == 32
    assert [t.scale for t in cfg.train_dataloader.dataset.pipeline if t.type == 'Resize'] == [(1333, 800)]
    model = build(cfg)
    groups = Runner.build_optim_wrapper(RunnerStub(model), dict(cfg.optim_wrapper, type='OptimWrapper')).param_groups
    settings = {id(p): (group['lr'], group['weight_decay']) for group in groups for p in group['params']}
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            expected = (rate * (0.1 if key.startswith('backbone') else 1), 0 if 'norm' in key else 1e-4)
            assert settings[id(parameter)] == pytest.approx(expected), key


@pytest.mark.parametrize('detector', ['retinanet', 'mask-rcnn'])
@pytest.mark.parametrize('arch', ['rn50', 'rn101'])
def test_the_neck_and_the_loss_are_the_released_ones(arch, detector):
    model = load(FULL.format(arch, detector)).model
    neck = model.neck
    assert (neck.prompting, neck.tau, neck.get('num_contexts', 8), neck.text_encoder.context_length) == (
        'post', 0.07, 8, 13)
    assert neck.text_encoder.arch == model.backbone.arch
    assert tuple(model.backbone.input_size) == (1344, 1344)
    head = model.bbox_head if detector == 'retinanet' else model.roi_head
    assert head.losses == [dict(type='BoxScoreLoss')]
    assert neck.next_neck.in_channels == [256, 512, 1024, 2128]
    assert neck.next_neck.get('start_level', 0) == (1 if detector == 'retinanet' else 0)


PARAMETERS = {model['Name']: model['Metadata']['Parameters']
              for model in yaml.safe_load((FOLDER / 'denseclip' / 'metafile.yml').read_text())['Models']
              if 'Parameters' in model['Metadata'] and model['Name'].endswith('-det')}
OF_THE_PAPER = {  # Tables 3 and 4, in millions
    'resnet50-retinanet': 38, 'clip_rn50-retinanet': 38, 'denseclip_rn50-retinanet': 60,
    'resnet101-retinanet': 57, 'clip_rn101-retinanet': 57, 'denseclip_rn101-retinanet': 78,
    'resnet50-mask-rcnn': 44, 'clip_rn50-mask-rcnn': 44, 'denseclip_rn50-mask-rcnn': 67,
    'resnet101-mask-rcnn': 63, 'clip_rn101-mask-rcnn': 63, 'denseclip_rn101-mask-rcnn': 84,
}


@pytest.mark.parametrize('name', PARAMETERS)
def test_the_parameters_are_those_of_the_metafile(name):
    with torch.device('meta'):
        model = registry().build(load(f'denseclip/{name}.py').model)
    assert sum(p.numel() for key, p in model.named_parameters() if 'text_encoder' not in key) == PARAMETERS[name]


@pytest.mark.parametrize('name', OF_THE_PAPER)
def test_the_parameters_of_the_metafile_are_the_papers(name):
    assert abs(PARAMETERS[f'{name}_8xb2-12e_coco-det'] / 1e6 - OF_THE_PAPER[name]) <= 1
