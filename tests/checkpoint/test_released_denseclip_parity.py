"""A converted DenseCLIP gives the released one's embedding, score maps and features, in pose models and detectors."""
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from open_clip import get_tokenizer
from oracles.released_configs import image_arch, load, text_arch
from oracles.released_denseclip import ReleasedDenseCLIP
from oracles.released_files import RN50, TINY_RN, TINY_VIT, VIT_B, make_released_denseclip, save_released

from clamp_mmpose.checkpoint.released_conversion import convert_released
from clamp_mmpose.checkpoint.released_file import read_released_file
from clamp_mmpose.checkpoint.safe_loading import CheckpointError
from clamp_mmpose.tools.cli import main

RN, VIT = replace(TINY_RN, grid=4), replace(TINY_VIT, blocks=(4, ))
WIDTH = 64  # of the channels of the FPN
ADE = ('wall', 'building', 'sky', 'floor', 'tree')


def pose_config(sizes, *, names=None, **neck):
    """The shipped DenseCLIP for pose, with the towers of ``sizes``."""
    kind = 'rn50' if sizes.kind == 'resnet' else 'vit-b16'
    cfg = load(f'denseclip/denseclip_{kind}_4xb32-210e_ap10k-256x256.py')
    model = cfg.model
    side = sizes.grid * (32 if sizes.kind == 'resnet' else sizes.patch)
    model.backbone.update(arch=image_arch(sizes), input_size=(side, side))
    if sizes.kind == 'vit':
        model.backbone.update(double_class_embedding=True)
    model.neck.text_encoder.arch = text_arch(sizes)
    model.neck.update(neck)
    if names:
        model.neck.names = list(names)
    model.head.head.in_channels = 40
    return cfg


def detector_config(detector, sizes):
    cfg = load(f'denseclip/denseclip_rn50-{detector}-released_8xb2-12e_coco-det.py')
    side = sizes.grid * 32
    cfg.model.backbone.update(arch=image_arch(sizes), input_size=(side, side))
    cfg.model.neck.text_encoder.arch = text_arch(sizes)
    cfg.model.neck.next_neck.in_channels = [4 * sizes.width, 8 * sizes.width, 16 * sizes.width, 32 * sizes.width + 80]
    return cfg


def convert(tensors, cfg, folder):
    file = read_released_file(save_released(tensors, folder / 'released.pth'))
    init_default_scope(cfg.default_scope)
    converted = convert_released(file, MODELS.build(cfg.model))
    model = MODELS.build(cfg.model)
    found = model.load_state_dict(converted.state_dict, strict=False)
    assert set(found.missing_keys) == set(converted.report.missing) and not found.unexpected_keys
    return model.eval(), converted.report


def oracle(tensors, sizes, names, **kwargs):
    ids = get_tokenizer('ViT-B-16')(list(names))[:, :5]
    return ReleasedDenseCLIP(tensors, sizes.kind, ids, image_heads=sizes.image_heads, **kwargs)


def draw(height, width, batch=2):
    """Pixels (B, 3, H, W) in RGB, in [0, 255]."""
    coarse = torch.rand(batch, 3, height // 16, width // 16, generator=torch.Generator().manual_seed(1))
    return 255 * coarse.repeat_interleave(16, 2).repeat_interleave(16, 3)


def features(model, pixels):
    """What ours puts in front of the head."""
    prepared = (pixels - model.data_preprocessor.mean) / model.data_preprocessor.std
    with torch.no_grad():
        return model.extract_feat(prepared)


def assert_same(feats, expected, carried=None):
    assert len(feats) == len(expected)
    for x, y in zip(feats, expected):
        assert y.std() > 0.05
        torch.testing.assert_close(x, y, atol=1e-4, rtol=1e-5)
    for name, y in (carried or {}).items():
        torch.testing.assert_close(getattr(feats, name), y, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize('size', [(128, 128), (96, 160)])
def test_a_segmentation_resnet_gives_a_pose_model_its_features_and_score_maps(tmp_path, size):
    tensors = make_released_denseclip(RN, 'segmentation', classes=150, fpn=WIDTH)
    cfg = pose_config(RN)
    model, report = convert(tensors, cfg, tmp_path)
    pixels = draw(*size)
    assert_same(features(model, pixels), *oracle(tensors, RN, cfg.model.neck.names).features(pixels))
    parts = {name.split('.')[0] for name in report.dropped}
    assert parts == {'neck', 'decode_head'}
    assert report.dropped['decode_head.conv_seg.weight'] == 'it segments, and the config has no such head'
    assert {name.split('.')[0] for name in report.missing} == {'head'}


def test_a_segmentation_vit_gives_its_pyramid(tmp_path):
    tensors = make_released_denseclip(VIT, 'segmentation', classes=17, fpn=WIDTH)
    fpn = dict(type='mmdet.FPN', in_channels=[32, 32, 32 + 17, 32], out_channels=WIDTH, num_outs=4)
    cfg = pose_config(VIT, pyramid=dict(in_channels=32), next_neck=fpn)
    cfg.model.backbone.out_indices = (0, 1, 2, 3)
    model, report = convert(tensors, cfg, tmp_path)
    assert {name.split('.')[0] for name in report.dropped} == {'decode_head'}
    pixels = draw(64, 64)
    released = oracle(tensors, VIT, cfg.model.neck.names, blocks=(0, 1, 2, 3))
    with torch.no_grad():
        maps, carried = released.features(pixels)
        assert_same(features(model, pixels), released.fpn(maps), carried)


def test_the_fpn_comes_along_where_the_config_has_one_for_as_many_names(tmp_path):
    tensors = make_released_denseclip(RN, 'segmentation', classes=5, fpn=WIDTH)
    fpn = dict(type='mmdet.FPN', in_channels=[32, 64, 128, 256 + 5], out_channels=WIDTH, num_outs=4)
    model, _ = convert(tensors, pose_config(RN, names=ADE, next_neck=fpn), tmp_path)
    released = oracle(tensors, RN, ADE)
    pixels = draw(128, 64)
    with torch.no_grad():
        maps, carried = released.features(pixels)
        assert_same(features(model, pixels), released.fpn(maps), carried)


def test_the_fpn_of_another_number_of_names_is_refused(tmp_path):
    tensors = make_released_denseclip(RN, 'segmentation', classes=5, fpn=WIDTH)
    fpn = dict(type='mmdet.FPN', in_channels=[32, 64, 128, 256 + 17], out_channels=WIDTH, num_outs=4)
    with pytest.raises(CheckpointError, match='it was trained with 5 names, and the neck of the config has 17'):
        convert(tensors, pose_config(RN, next_neck=fpn), tmp_path)


DET = replace(TINY_RN, grid=5)


@cache
def retinanet():
    return make_released_denseclip(DET, 'retinanet', classes=80, start_level=1)


@pytest.mark.parametrize('size', [(160, 160), (96, 160), (64, 96)])
def test_a_retinanet_predicts_what_the_released_one_does(tmp_path, size):
    tensors = retinanet()
    cfg = detector_config('retinanet', DET)
    model, report = convert(tensors, cfg, tmp_path)
    assert not report.dropped and not report.missing
    released, pixels = oracle(tensors, DET, cfg.model.neck.names, detection=True), draw(*size)
    with torch.no_grad():
        maps, carried = released.features(pixels)
        levels = released.fpn(maps, start_level=1, extra=2)
        feats = features(model, pixels)
        assert_same(feats, levels, carried)
        for found, expected in zip(model.bbox_head(feats), released.retina_head(levels)):
            assert_same(found, expected)


def test_a_mask_rcnn_takes_all_its_tensors(tmp_path):
    tensors = make_released_denseclip(DET, 'mask-rcnn', classes=80)
    cfg = detector_config('mask-rcnn', DET)
    model, report = convert(tensors, cfg, tmp_path)
    assert not report.dropped and not report.missing and len(report.renamed) == len(tensors)
    released, pixels = oracle(tensors, DET, cfg.model.neck.names, detection=True), draw(96, 128)
    with torch.no_grad():
        maps, carried = released.features(pixels)
        assert_same(features(model, pixels), released.fpn(maps, pool=True), carried)
    for name in ('roi_head.bbox_head.fc_cls.weight', 'roi_head.mask_head.conv_logits.bias', 'rpn_head.rpn_reg.weight'):
        torch.testing.assert_close(model.state_dict()[name], tensors[name])


def test_resized_positions_are_not_the_released_detectors(tmp_path):
    tensors = retinanet()
    cfg = detector_config('retinanet', DET)
    model, _ = convert(tensors, cfg, tmp_path)
    pixels = draw(96, 160)
    expected = oracle(tensors, DET, cfg.model.neck.names, detection=True).features(pixels)[1]
    torch.testing.assert_close(features(model, pixels).dense, expected['dense'], atol=1e-4, rtol=1e-5)
    model.backbone.crop_positions = False
    assert (features(model, pixels).dense - expected['dense']).abs().max() > 0.01


def test_an_input_larger_than_cropped_positions_is_an_error(tmp_path):
    model, _ = convert(retinanet(),
                       detector_config('retinanet', DET), tmp_path)
    with pytest.raises(ValueError, match=r'a map of \(5, 6\) \(h, w\) is larger than the position table'):
        features(model, draw(160, 192))


@pytest.mark.parametrize('change, message', [
    (dict(backbone=dict(crop_positions=False)), 'backbone.crop_positions=False, but the released model has True'),
    (dict(backbone=dict(input_size=(128, 128))), r'backbone.input_size=\(128, 128\), but the released model has '
     r'\(160, 160\) \(its positions are cropped'),
    (dict(neck=dict(tau=1.0)), 'neck.tau=1.0, but the released model has 0.07'),
    (dict(neck=dict(text_encoder=dict(heads=4))), 'neck.text_encoder.heads=4'),
    (dict(neck=dict(context_decoder=dict(num_heads=8))), 'neck.context_decoder.num_heads=8'),
    (dict(data_preprocessor=dict(mean=[123.675, 116.28, 103.53])), 'data_preprocessor.mean='),
    (dict(neck=dict(prompting='language')), 'context_decoder.memory_proj'),
    (dict(neck=dict(prompting='pre')), 'visual_contexts'),
    (dict(neck=dict(context_decoder=dict(num_layers=6))), 'it lacks'),
])
def test_detectors_with_other_options_are_refused(tmp_path, change, message):
    cfg = detector_config('retinanet', DET)
    cfg.merge_from_dict(dict(model=change))
    with pytest.raises(CheckpointError, match=message):
        convert(retinanet(), cfg, tmp_path)


def test_another_kind_of_detector_is_refused(tmp_path):
    tensors = retinanet()
    with pytest.raises(CheckpointError, match='with bbox_head; the detector of its config has roi_head, rpn_head'):
        convert(tensors, detector_config('mask-rcnn', DET), tmp_path)


def test_classes_in_another_order_are_refused(tmp_path):
    cfg = detector_config('retinanet', DET)
    tensors = retinanet()
    names = cfg.model.neck.names
    path = save_released(tensors, tmp_path / 'classes.pth', CLASSES=(names[1], names[0], *names[2:]))
    init_default_scope('mmdet')
    with pytest.raises(CheckpointError, match='trained with the names in another order: bicycle, person'):
        convert_released(read_released_file(path), MODELS.build(cfg.model))
    path = save_released(tensors, tmp_path / 'classes.pth', CLASSES=tuple(names))
    assert not convert_released(read_released_file(path), MODELS.build(cfg.model)).report.warnings


def test_a_vit_of_denseclip_adds_the_class_embedding_twice_too(tmp_path):
    tensors, cfg = make_released_denseclip(VIT, 'segmentation', classes=17), pose_config(VIT)
    cfg.model.backbone.double_class_embedding = False
    found = convert(tensors, cfg, tmp_path)[0].backbone.tower.class_embedding
    torch.testing.assert_close(found.detach(), 2 * tensors['backbone.class_embedding'], atol=0, rtol=0)


def test_methods_do_not_mix(tmp_path):
    clamp = load('clamp/clamp_rn50-released_4xb32-210e_ap10k-256x256.py')
    clamp.model.backbone.arch, clamp.model.neck.text_encoder.arch = image_arch(RN), text_arch(RN)
    tensors = make_released_denseclip(RN, 'segmentation', classes=5, fpn=WIDTH)
    with pytest.raises(CheckpointError, match=r"needs .* neck=dict\(type='DenseCLIPNeck'\); this one has Prompt"):
        convert(tensors, clamp, tmp_path)


def test_the_command_writes_a_detector(tmp_path, capsys):
    tensors = retinanet()
    detector_config('retinanet', DET).dump(tmp_path / 'config.py')
    source, out = save_released(tensors, tmp_path / 'in.pth'), tmp_path / 'out.pth'
    assert main(['convert', str(source), str(out), '--config', str(tmp_path / 'config.py')]) == 0
    assert 'released DenseCLIP for detection' in capsys.readouterr().out
    from clamp_mmpose.checkpoint.safe_loading import safe_load
    checkpoint = safe_load(out)
    assert len(checkpoint['meta']['dataset_meta']['classes']) == 80
    init_default_scope('mmdet')
    MODELS.build(Config.fromfile(tmp_path / 'config.py').model).load_state_dict(checkpoint['state_dict'], strict=True)
    assert Path(out).stat().st_size > 0


@pytest.mark.parametrize('sizes, backbone, neck, decoder', [
    (replace(RN50, grid=16), 38_740_832, 3_382_784, 3_948_800),
    (replace(VIT_B, grid=40), 94_358_784, 3_186_176, 3_553_024),
])
def test_the_files_made_here_have_the_released_sizes(sizes, backbone, neck, decoder):
    tensors = make_released_denseclip(sizes, 'segmentation', classes=150)
    count = {part: sum(tensor.numel() for name, tensor in tensors.items() if name.split('.')[0] == part
                       and not name.endswith(('running_mean', 'running_var', 'num_batches_tracked')))
             for part in ('backbone', 'neck', 'context_decoder', 'decode_head')}
    assert count == dict(backbone=backbone, neck=neck, context_decoder=decoder, decode_head=4_170_902)
