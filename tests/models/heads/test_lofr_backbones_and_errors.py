"""LOFRHead behind other backbones, and what it says where they do not fit."""
import pytest
import torch
from lofr_models import features_of, gradients_of, losses_of, make, make_batch
from mmengine.registry import init_default_scope
from mmpose.models import build_pose_estimator
from mmpose.registry import MODELS

from clamp_mmpose.testing import TINY_RESNET, TINY_VIT, pack_batch, tiny_lofr_model

HRNET = dict(
    type='HRNet',
    in_channels=3,
    extra=dict(
        stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1, ), num_channels=(8, )),
        stage2=dict(num_modules=1, num_branches=2, block='BASIC', num_blocks=(1, 1), num_channels=(4, 8)),
        stage3=dict(num_modules=1, num_branches=3, block='BASIC', num_blocks=(1, ) * 3, num_channels=(4, 8, 16)),
        stage4=dict(num_modules=1, num_branches=4, block='BASIC', num_blocks=(1, ) * 4, num_channels=(4, 8, 16, 32),
                    multiscale_output=True)))
SWIN = dict(type='SwinTransformer', embed_dims=4, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), window_size=2,
            out_indices=(0, 1, 2, 3))
RESNET = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4, out_indices=(0, 1, 2, 3))
FOUR = (4, 8, 16, 32)


def backbones():
    width = TINY_RESNET['width']
    yield HRNET, dict(in_channels=FOUR)
    yield SWIN, dict(in_channels=FOUR)
    yield dict(RESNET, strides=(1, 2, 2, 1)), dict(in_channels=FOUR, strides=(4, 8, 16, 16))
    yield dict(RESNET, out_indices=(0, 1, 2)), dict(in_channels=FOUR[:3], strides=(4, 8, 16))
    yield dict(RESNET, out_indices=(2, 3)), dict(in_channels=(16, 32), strides=(16, 32), scales=(16, 32))
    yield (dict(type='CLIPResNet', arch=TINY_RESNET, with_embedding=False),
           dict(in_channels=[4 * width, 8 * width, 16 * width, 32 * width]))
    yield (dict(type='CLIPVisionTransformer', arch=TINY_VIT, with_embedding=False),
           dict(in_channels=[TINY_VIT['width']], strides=[16], scales=[16]))


@pytest.mark.parametrize('size', [(64, 64), (96, 128)], ids=str)
@pytest.mark.parametrize('backbone, head', [*backbones()], ids=lambda value: value.get('type', ''))
def test_it_trains_and_predicts_behind_any_backbone(backbone, head, size):
    if backbone['type'].startswith('CLIP'):
        backbone = dict(backbone, input_size=size)
    codec = dict(type='MSRAHeatmap', input_size=size, heatmap_size=(size[0] // 4, size[1] // 4), sigma=1.5)
    init_default_scope('mmpose')
    config = tiny_lofr_model(codec=codec, head=head, backbone=backbone)
    model = build_pose_estimator(config)
    batch = make_batch(config)
    _, gradients = gradients_of(model.train(), batch)
    assert [name for name, gradient in gradients.items() if name.startswith('head') and gradient is None] == []
    model.eval()
    with torch.no_grad():
        result = model(**model.data_preprocessor(batch, False), mode='predict')
    assert result[0].pred_instances.keypoints.shape == (1, 5, 2)
    finest = min(head.get('scales', (4, )))
    assert model.head.read(features_of(model, batch)).responses.shape[2:] == (size[1] // finest, size[0] // finest)


def test_a_size_that_no_stride_divides():
    codec = dict(type='MSRAHeatmap', input_size=(75, 101), heatmap_size=(19, 26), sigma=1.5)
    model, config = make(codec=codec)
    losses = losses_of(model, make_batch(config))
    assert bool(torch.isfinite(losses['loss_cls_decoder']))
    model.eval()
    with torch.no_grad():
        assert model.head(features_of(model, make_batch(config))).shape == (2, 5, 26, 19)


def test_the_head_runs_in_mixed_precision():
    model, config = make(dict(keypoint_loss=dict(type='KeypointMSELoss', use_target_weight=True)))
    batch = make_batch(config)
    with torch.autocast('cpu', torch.bfloat16):
        losses, gradients = gradients_of(model.train(), batch)
        result = model.eval()(**model.data_preprocessor(batch, False), mode='predict')
    assert all(torch.isfinite(value).all() and value.dtype == torch.float32 for value in losses.values())
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    assert result[0].pred_instances.keypoint_scores.dtype == 'float32'


@pytest.mark.parametrize('backbone, message', [
    (dict(RESNET, out_indices=(1, 2, 3)), r'not found at all: \[4\]\. .*\(8, 8, 8\), \(16, 4, 4\), \(32, 2, 2\)'),
    (dict(RESNET, out_indices=(3, )), r'not found at all: \[4, 8, 16\]\. .*\[\(32, 2, 2\)\]'),
    (dict(RESNET, strides=(1, 2, 2, 1)), r'not found at all: \[32\]'),
    (dict(RESNET, strides=(2, 2, 2, 2)), r'not found at all: \[4\]'),
    (dict(RESNET, base_channels=8, stem_channels=8), r'in_channels=\(4, 8, 16, 32\).*\(8, 16, 32, 64\)'),
], ids=['first', 'last', 'stride', 'all', 'channels'])
def test_maps_that_do_not_fit_are_named(backbone, message):
    model, config = make(backbone=backbone)
    with pytest.raises(ValueError, match=message):
        losses_of(model, make_batch(config))


def test_a_missing_label_names_the_transform_that_makes_it():
    model, config = make(dict(keypoint_loss=dict(type='KeypointMSELoss', use_target_weight=True)))
    batch = make_batch(config)
    del batch['data_samples'][1].gt_fields
    with pytest.raises(ValueError, match=r'GenerateTarget.*keypoint_loss'):
        losses_of(model, batch)
    del batch['data_samples'][0].gt_instance_labels.keypoint_weights
    with pytest.raises(ValueError, match=r'GenerateTarget.*keypoint_loss'):
        losses_of(model, batch)
    with pytest.raises(ValueError, match='GeneratePresence'):
        losses_of(model, pack_batch(config['head']['decoder'], 5))


def test_another_number_of_keypoints_is_an_error():
    model, config = make()
    batch = make_batch(config)
    for sample in batch['data_samples']:
        sample.gt_instance_labels.presence = torch.ones(1, 6)
    with pytest.raises(ValueError, match=r'out_channels=5.*\(2, 6\)'):
        losses_of(model, batch)
    with pytest.raises(ValueError, match='flip_indices of 5 keypoints, and the data has 3'):
        feats = features_of(model, batch)
        samples = batch['data_samples']
        samples[0].set_metainfo(dict(flip_indices=[0, 2, 1]))
        model.head.predict([feats, feats], samples, dict(flip_test=True))


def build(**arguments):
    return MODELS.build(tiny_lofr_model(head=arguments)['head'])


@pytest.mark.parametrize('arguments, message', [
    (dict(skeleton_links=[]), 'no links'),
    (dict(skeleton_links=[(0, 5)]), r'\(0, 5\) of the skeleton.*0 to 4'),
    (dict(skeleton_links=None), 'reppg needs the skeleton'),
    (dict(skeleton_links=None, metainfo='configs/_base_/datasets/coco.py'), 'out_channels=5.*coco, has 17'),
    (dict(scales=(4, 8, 64)), r'scales=\(4, 8, 64\) must be some of strides=\(4, 8, 16, 32\)'),
    (dict(scales=()), r'scales=\(\)'),
    (dict(strides=(4, 8, 16)), r'in_channels=\(4, 8, 16, 32\) and strides=\(4, 8, 16\)'),
    (dict(classification_weights=(1, 1)), r'classification_weights=\(1, 1\) must be three'),
    (dict(channels=9), 'num_heads=2 of encoder does not divide channels=9'),
])
def test_arguments_that_do_not_fit_are_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_predicting_from_something_else_is_an_error():
    model, config = make()
    batch = make_batch(config)
    with pytest.raises(ValueError, match=r"predict_from='heatmap'.*\['activation', 'response'\]"):
        model.head.predict(features_of(model, batch), batch['data_samples'], dict(predict_from='heatmap'))


def test_no_skeleton_is_needed_without_relations():
    assert build(skeleton_links=None, reppg=None).queries.shape == (5, 8)


@pytest.mark.parametrize('dataset, edges', [('mpii', 46), ('crowdpose', 44), ('ap10k', 17 + 2 * 17)])
def test_the_skeleton_comes_from_the_metainfo(dataset, edges):
    file = f'configs/_base_/datasets/{dataset}.py'
    count = {'mpii': 16, 'crowdpose': 14, 'ap10k': 17}[dataset]
    for metainfo in (file, dict(from_file=file)):
        head = build(skeleton_links=None, metainfo=metainfo, out_channels=count)
        assert int(head.reppg.convs[0].edges.sum()) == edges
    head = build(skeleton_links=[(0, 1)], metainfo=file, out_channels=count)
    assert int(head.reppg.convs[0].edges.sum()) == count + 2
