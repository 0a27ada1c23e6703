"""LOFR's recipes: each name says what is left out, seen of locations, or deeper, and the rest is the same."""
import re
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmpose.models import build_pose_estimator
from mmpose.registry import MODELS
from test_configs import differences

from clamp_mmpose.testing import shrink_model

FOLDER = Path(__file__).parents[2] / 'configs' / 'lofr'
NAMES = sorted(path.stem for path in FOLDER.glob('*.py'))
COCO, MPII, CROWD = '4xb32-160e_coco', '4xb32-160e_mpii-256x256', '4xb32-210e_crowdpose-256x192'
MAIN, TOY = f'lofr_res50_{COCO}-256x192', 'lofr_tiny_1xb16-30e_toypeople-128x128'
SHARED = [name for name in NAMES if 'pct-' in name]


@cache
def load(name):
    return Config.fromfile(FOLDER / f'{name}.py')


@cache
def of_mmpose(dataset, name):
    """A recipe that MMPose ships."""
    return get_config(f'mmpose::body_2d_keypoint/topdown_heatmap/{dataset}/{name}.py')


def narrow_head(name):
    """The config's head with all its modules and layers, a few channels wide."""
    return MODELS.build(shrink_model(load(name).model)['head'])


def step_names(pipeline):
    return [step.type for step in pipeline]


def labelling(cfg):
    """The step that hides the locations."""
    step, = (step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'GeneratePresence')
    return step


def test_the_recipes_of_the_paper_are_there():
    sizes = {f'lofr_{backbone}_{COCO}-{size}' for backbone in ('res50', 'hrnet-w32', 'hrnet-w48')
             for size in ('256x192', '384x288')}
    others = {f'lofr_res50_{MPII}', 'lofr_res50_4xb32-160e_mpii-384x384', f'lofr_res50_{CROWD}'}
    shares = {f'lofr_{model}-{share}pct-{size}' for share in (5, 10, 25, 100) for model, size in (
        (f'res50_{COCO}', '256x192'), (f'hrnet-w32_{COCO}', '256x192'), ('res50_4xb32-160e_mpii', '256x256'),
        ('tiny_1xb16-30e_toypeople', '128x128'))}
    assert sizes | others | shares < {*NAMES}


def test_the_metafile_and_the_table_have_every_config():
    models = {model['Name']: model for model in yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']}
    assert sorted(models) == NAMES
    for name, model in models.items():
        assert (FOLDER.parents[1] / model['Config']) == FOLDER / f'{name}.py'
        cfg, about = load(name), model['Metadata']
        assert (about['Epochs'], about['Batch Size']) == (
            cfg.train_cfg.max_epochs, cfg.auto_scale_lr.base_batch_size), name
    rows = re.findall(r'^\| (Table \d.*?) \|.*\((lofr_.*?)\.py\) \|$', (FOLDER / 'README.md').read_text(), flags=re.M)
    linked = {}
    for row, name in rows:
        linked.setdefault(name, set()).add(row)
    published = {name: {re.sub(r' \(.*', '', row) for row in model['Metadata']['Paper Result']}
                 for name, model in models.items() if model['Metadata']['Paper Result'] != 'none'}
    assert linked == {name: {row for row in found if 'Table 7' not in row} for name, found in published.items()}


PARTS = {'spe': ('spe', None), 'ms': ('scales', None), 'reppg': ('reppg', None), 'pdc': ('diversity_loss', None)}
ROWS = {'base': set(), 'spe': {'spe'}, 'ms': {'ms'}, 'reppg': {'reppg'}, 'pdc': {'pdc'}, 'spe-ms': {'spe', 'ms'},
        'reppg-pdc': {'reppg', 'pdc'}}
BASELINES = [('base', f'res50_{COCO}-384x288'), ('base', f'res50_{MPII}'), ('base', f'res50_{CROWD}')]


@pytest.mark.parametrize('row, model', [
    *((row, model) for model in (MAIN[5:], TOY[5:]) for row in ROWS), *BASELINES])
def test_a_row_of_table_5_leaves_out_the_other_modules_and_no_more(row, model):
    backbone, settings = model.split('_', 1)
    name = f'lofr_{backbone}-{row}_{settings}'
    cfg, base = load(name), load(f'lofr_{model}')
    left_out = [PARTS[part] for part in PARTS.keys() - ROWS[row]]
    finest = base.model.head.scales[:1]
    left_out = [(key, finest if key == 'scales' else value) for key, value in left_out]
    assert differences(cfg.to_dict(), base.to_dict()) == {f'model.head.{key}' for key, _ in left_out}
    assert all(cfg.model.head[key] == value for key, value in left_out)
    head = narrow_head(name)
    found = dict(spe=head.spe, ms=len(head.projections) > 1, reppg=head.reppg, pdc=head.diversity_loss)
    assert {part for part, there in found.items() if there} == ROWS[row]
    assert isinstance(head.queries, torch.nn.Parameter) == ('reppg' not in ROWS[row])


def test_every_other_recipe_has_all_modules():
    ablations = [name for name in NAMES if re.match(rf'lofr_[a-z0-9]+-({"|".join(ROWS)})(-sine)?_', name)]
    assert len(ablations) == 2 * len(ROWS) + len(BASELINES) + 1
    for name in set(NAMES) - set(ablations):
        head = narrow_head(name)
        assert head.spe and head.reppg and head.diversity_loss, name
        # Stride 4 would take most of the time of the toys.
        assert len(head.projections) == (2 if '_tiny_' in name else 3), name


def test_the_baseline_with_detrs_position_encoding_differs_in_it_alone():
    cfg, base = load(f'lofr_res50-base-sine_{COCO}-256x192'), load(f'lofr_res50-base_{COCO}-256x192')
    assert differences(cfg.to_dict(), base.to_dict()) == {'model.head.position_encoding'}
    encoding = MODELS.build(cfg.model.head.position_encoding)
    assert encoding(torch.zeros(1, 4, 3, dtype=torch.bool)).shape == (1, 256, 4, 3)


@pytest.mark.parametrize('encoder, decoder', [(2, 2), (3, 3), (4, 4), (4, 6), (6, 4), (6, 6)])
def test_a_row_of_table_6_has_its_depths(encoder, decoder):
    name = MAIN if (encoder, decoder) == (4, 6) else f'lofr_res50-en{encoder}-de{decoder}_{COCO}-256x192'
    head = narrow_head(name)
    assert (len(head.encoder.layers), len(head.part_decoder.layers)) == (encoder, decoder)
    changed = differences(load(name).to_dict(), load(MAIN).to_dict())
    assert changed <= {'model.head.encoder.num_layers', 'model.head.part_decoder.num_layers'}


def test_the_transformer_has_detrs_parameters():
    head = MODELS.build(load(MAIN).model.head)
    count = {name: sum(p.numel() for p in module.parameters()) for name, module in head.named_children()}
    assert sum(p.numel() for p in head.encoder.layers.parameters()) == 4 * 1_315_072
    assert count['part_decoder'] == 6 * 1_578_752
    assert sum(p.numel() for p in head.reppg.convs.parameters()) == 2 * 131_383  # 17 keypoints, 19 links


@pytest.mark.parametrize('name, edges', [(MAIN, 55), (f'lofr_res50_{MPII}', 46), (f'lofr_res50_{CROWD}', 44)])
def test_the_skeleton_is_the_datasets(name, edges):
    assert int(narrow_head(name).reppg.convs[0].edges.sum()) == edges


@pytest.mark.parametrize('backbone', ['hrnet-w32', 'hrnet-w48'])
@pytest.mark.parametrize('size', ['256x192', '384x288'])
def test_a_hrnet_is_mmposes_with_all_its_maps(backbone, size):
    cfg, base = load(f'lofr_{backbone}_{COCO}-{size}'), load(f'lofr_res50_{COCO}-{size}')
    changed = {'.'.join(key.split('.')[:3]) for key in differences(cfg.to_dict(), base.to_dict())}
    assert {key for key in changed if not key.startswith('model.backbone')} == {'model.head.in_channels'}
    recipe = '8xb64-210e_coco-256x192' if backbone == 'hrnet-w32' else '8xb32-210e_coco-256x192'
    official = of_mmpose('coco', f'td-hm_{backbone}_{recipe}').model.backbone.to_dict()
    ours = cfg.model.backbone.to_dict()
    assert ours['extra']['stage4'].pop('multiscale_output') is True
    ours.pop('with_cp', None)
    assert ours == official
    assert tuple(cfg.model.head.in_channels) == ours['extra']['stage4']['num_channels']


@pytest.mark.parametrize('large, small', [
    *((f'lofr_{backbone}_{COCO}-384x288', f'lofr_{backbone}_{COCO}-256x192')
      for backbone in ('res50', 'hrnet-w32', 'hrnet-w48')),
    ('lofr_res50_4xb32-160e_mpii-384x384', f'lofr_res50_{MPII}'),
])
def test_a_larger_size_changes_codec_and_pipelines_and_saves_memory(large, small):
    cfg, base = load(large), load(small)
    changed = {key for key in differences(cfg.to_dict(), base.to_dict()) if not key.endswith('pipeline')}
    codec = ('input_size', 'heatmap_size', 'sigma')
    assert changed - {'model.backbone.with_cp'} == {
        *(f'codec.{key}' for key in codec), *(f'model.head.decoder.{key}' for key in codec),
        'model.head.encoder.with_cp'}
    assert cfg.model.head.encoder.with_cp is True
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        ours, other = cfg[loader].dataset.pipeline, base[loader].dataset.pipeline
        assert [dict(step, input_size=None) for step in ours] == [dict(step, input_size=None) for step in other]
    assert all(4 * heat == size for heat, size in zip(cfg.codec.heatmap_size, cfg.codec.input_size))


@pytest.mark.parametrize('name', SHARED)
def test_a_share_of_locations_switches_the_heatmap_loss_on_and_no_more(name):
    share = int(re.search(r'-(\d+)pct', name)[1])
    cfg, base = load(name), load(re.sub(r'-\d+pct', '', name))
    changed = differences(cfg.to_dict(), base.to_dict())
    assert {key for key in changed if not key.startswith('train_')} == {'model.head.keypoint_loss'}
    loss = MODELS.build(cfg.model.head.keypoint_loss)
    if 'tiny' in name:  # ours
        assert (type(loss).__name__, loss.loss_weight) == ('HeatmapCrossEntropyLoss', 0.2)
    else:  # Eq. 14, 15
        assert (type(loss).__name__, loss.loss_weight) == ('KeypointMSELoss', 1)
    step = labelling(cfg)
    assert (step.located, step.get('seed', 0)) == (share / 100, 0)
    ours = list(cfg.train_dataloader.dataset.pipeline)
    assert ours.pop(-2) == dict(type='GenerateTarget', encoder=cfg.codec)
    whole = [dict(step, located=0, seed=0) if step.type == 'GeneratePresence' else step for step in base.train_pipeline]
    assert [dict(step, located=0, seed=0) if step.type == 'GeneratePresence' else step for step in ours] == whole
    assert ours == [step for step in cfg.train_pipeline if step.type != 'GenerateTarget']


class OfPipeline:
    """A dataset as far as GeneratePresence asks it."""

    test_mode = False

    def __init__(self, pipeline):
        self.pipeline = Compose(pipeline)


@pytest.mark.parametrize('name', NAMES)
def test_no_recipe_lets_locations_through_but_the_one_that_says_so(name):
    cfg = load(name)
    generator = labelling(cfg)
    leaks = 'half-body' in name
    assert generator.get('accept_location_leak', False) is leaks
    dataset = OfPipeline([dict(step, accept_location_leak=False, recompute_after_crop=False) if step is generator
                          else step for step in cfg.train_dataloader.dataset.pipeline])
    check = next(step for step in dataset.pipeline.transforms if type(step).__name__ == 'GeneratePresence')
    if leaks:
        with pytest.raises(ValueError, match='RandomHalfBody crops by keypoint locations'):
            check.check(dataset)
    else:
        check.check(dataset)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert 'GeneratePresence' not in step_names(loader.dataset.pipeline)
    assert 'pct-' in name or cfg.model.head.get('keypoint_loss') is None


def test_half_body_crops_relabel_what_they_leave():
    cfg, base = load(f'lofr_res50-half-body_{MPII}'), load(f'lofr_res50_{MPII}')
    assert differences(cfg.to_dict(), base.to_dict()) == {'train_pipeline', 'train_dataloader.dataset.pipeline'}
    steps = step_names(cfg.train_dataloader.dataset.pipeline)
    assert steps.index('RandomHalfBody') < steps.index('TopdownAffine') < steps.index('GeneratePresence')
    assert labelling(cfg).recompute_after_crop is True


@pytest.mark.parametrize('name, rate, clip', [
    (MAIN, 4e-4, dict(max_norm=1.0)),
    (f'lofr_res50_{MPII}', 4e-4, dict(max_norm=1.0)),
    (f'lofr_res50-adam-lr4e-3_{COCO}-256x192', 4e-3, None),
])
def test_the_transformer_has_a_tenth_of_the_rate(name, rate, clip):
    cfg = load(name)
    assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=rate, weight_decay=1e-4)
    assert cfg.optim_wrapper.get('clip_grad') == clip
    model = build_pose_estimator(shrink_model(cfg.model))
    groups = build_optim_wrapper(model, dict(cfg.optim_wrapper, type='OptimWrapper')).param_groups
    rates = {id(p): group['lr'] for group in groups for p in group['params']}
    found = {key: rates[id(p)] for key, p in model.named_parameters()}
    slow = {key for key in found if key.startswith(('head.encoder.layers.', 'head.part_decoder.'))}
    assert len(slow) > 100
    for key, value in found.items():
        assert value == pytest.approx(rate / 10 if key in slow else rate), key


def test_the_papers_rate_is_all_that_its_config_changes():
    cfg, base = load(f'lofr_res50-adam-lr4e-3_{COCO}-256x192'), load(MAIN)
    assert differences(cfg.to_dict(), base.to_dict()) == {'optim_wrapper.optimizer.lr', 'optim_wrapper.clip_grad'}


def test_what_the_paper_says_of_all_recipes():
    for name in NAMES:
        if '_tiny' in name:
            continue
        cfg = load(name)
        head = narrow_head(name)
        assert head.classification_weights == (0.2, 0.2, 0.5)
        assert head.diversity_loss is None or head.diversity_loss.loss_weight == 0.1
        scale, = (step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'RandomBBoxTransform')
        assert tuple(scale.scale_factor) == (0.65, 1.35) and scale.scale_prob == 1
        assert scale.shift_prob == scale.rotate_prob == 0
        assert cfg.train_cfg.max_epochs == (210 if 'crowdpose' in name else 160)


@pytest.mark.parametrize('ours, theirs', [
    (f'lofr_res50_{CROWD}', 'td-hm_res50_8xb64-210e_crowdpose-256x192'),
    (f'lofr_res50_{MPII}', 'td-hm_res50_8xb64-210e_mpii-256x256'),
    (MAIN, 'td-hm_res50_8xb64-210e_coco-256x192'),
    (f'lofr_res50_{COCO}-384x288', 'td-hm_res50_8xb64-210e_coco-384x288'),
])
def test_data_codec_and_test_are_mmposes(ours, theirs):
    cfg, official = load(ours), of_mmpose(re.search('_(coco|mpii|crowdpose)-', theirs)[1], theirs)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        mine, other = cfg[loader].dataset, official[loader].dataset
        for key in ('data_root', 'data_prefix', 'ann_file', 'bbox_file', 'headbox_file', 'test_mode'):
            assert mine.get(key) == other.get(key), (loader, key)
        assert mine.type.replace('Checked', '') == other.type
    assert cfg.codec == official.codec and cfg.model.test_cfg == official.model.test_cfg
    evaluator = official.test_evaluator.to_dict()
    if evaluator['type'] == 'MpiiPCKAccuracy':
        evaluator['type'] = 'ZeroBasedMpiiPCKAccuracy'
    assert cfg.test_evaluator.to_dict() == cfg.val_evaluator.to_dict() == evaluator
    assert cfg.default_hooks.checkpoint.save_best == official.default_hooks.checkpoint.save_best


@pytest.mark.parametrize('name', [
    f'lofr_hrnet-w32_{COCO}-256x192', f'lofr_res50_{CROWD}', TOY,
    *(pytest.param(name, marks=pytest.mark.slow) for name in (
        f'lofr_res50_{MPII.replace("256x256", "384x384")}', f'lofr_res50-base_{COCO}-384x288'))])
def test_response_maps_have_the_finest_scale_and_sum_to_1_and_heatmaps_the_codecs_size(name):
    cfg = load(name)
    model = build_pose_estimator(shrink_model(cfg.model)).eval()
    width, height = cfg.codec.input_size
    with torch.no_grad():
        out = model.head.read(model.extract_feat(torch.randn(1, 3, height, width)))
    count = cfg.model.head.out_channels
    stride = 8 if 'tiny' in name else 4  # the finest scale
    assert out.responses.shape == (1, count, height // stride, width // stride)
    heatmaps = model.head(model.extract_feat(torch.randn(1, 3, height, width)))
    assert heatmaps.shape == (1, count, height // 4, width // 4) == (1, count, *cfg.codec.heatmap_size[::-1])
    torch.testing.assert_close(out.responses.sum((2, 3)), torch.ones(1, count))
    assert (out.responses >= 0).all()


def test_windows_are_tested_as_they_are_trained():
    """With more around the box, parts would be smaller than any that the model has seen."""
    cfg, base = load('lofr_tiny_1xb16-6e_toypeople-windows-128x128'), load(TOY)
    shown = [{step.type: step for step in cfg[f'{stage}_dataloader'].dataset.pipeline}['GetBBoxCenterScale'].padding
             for stage in ('train', 'val', 'test')]
    assert shown == [1.0] * 3
    for stage in ('val', 'test'):
        ours, theirs = cfg[f'{stage}_dataloader'].to_dict(), base[f'{stage}_dataloader'].to_dict()
        assert ours['dataset']['pipeline'][1].pop('padding') == 1.0
        assert ours == theirs


def test_the_toy_people_by_mpii_are_those_by_coco():
    cfg, base = load('lofr_tiny_1xb16-30e_toypeople-mpii-128x128'), load(TOY)
    changed = differences(cfg.to_dict(), base.to_dict())
    assert {key.split('.')[0] for key in changed} <= {
        'dataset_type', 'keypoint_names', 'model', 'train_dataloader', 'val_dataloader', 'test_dataloader',
        'val_evaluator', 'test_evaluator'}
    assert {key for key in changed if key.startswith('model')} == {'model.head.out_channels', 'model.head.metainfo'}
    assert cfg.keypoint_names == Config.fromfile(FOLDER.parent / '_base_/keypoint_names/mpii.py').keypoint_names
    assert cfg.train_dataloader.dataset.data_root == cfg.test_dataloader.dataset.data_root == base.data_root
    assert cfg.test_evaluator == cfg.val_evaluator == dict(type='ZeroBasedMpiiPCKAccuracy')
