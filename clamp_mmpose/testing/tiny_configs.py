"""CLAMP models that train on a CPU in milliseconds."""
from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from .tiny_blip import tiny_blip_model
from .tiny_clip import TINY_RESNET, TINY_TEXT, TINY_VIT, shrink_architecture
from .tiny_lofr import shrink_lofr
from .tiny_metta import narrow_backbone, shrink_metta_head

_NAMES = ('left eye', 'right eye', 'nose', 'left front paw', 'tail root')


def tiny_clamp_model(backbone: str = 'vit',
                     *,
                     names: Sequence[str] = _NAMES,
                     codec: dict | None = None,
                     neck: dict | None = None,
                     head: dict | None = None,
                     **backbone_args) -> dict:
    """Config of a CLAMP estimator on a tiny 'vit' (maps at stride 16) or 'resnet' (stride 32), for 64x64 pixels.

    ``neck`` and ``head`` are arguments that replace or add to theirs, ``backbone_args`` those of the backbone;
    ``codec`` is MSRA with 16x16 heatmaps.
    """
    codec = codec or dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5)
    num_keypoints = len(names)
    if backbone == 'vit':
        tower = dict(type='CLIPVisionTransformer', arch=deepcopy(TINY_VIT))
        channels, deconvs = TINY_VIT['width'], 2
    else:
        tower = dict(type='CLIPResNet', arch=deepcopy(TINY_RESNET))
        channels, deconvs = 32 * TINY_RESNET['width'], 3
    return dict(
        type='TopdownPoseEstimator',
        data_preprocessor=dict(
            type='PoseDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True),
        backbone=dict(tower, input_size=tuple(codec['input_size'])) | backbone_args,
        neck=dict(
            type='PromptLearnerNeck',
            keypoint_names=list(names),
            text_encoder=dict(type='CLIPTextEncoder', arch=deepcopy(TINY_TEXT)),
            context_decoder=dict(width=32)) | (neck or {}),
        head=dict(
            type='CLAMPHead',
            in_channels=channels + num_keypoints,
            out_channels=num_keypoints,
            deconv_out_channels=(16, ) * deconvs,
            deconv_kernel_sizes=(4, ) * deconvs,
            score_head=dict(deconv_out_channels=(8, ) * deconvs),
            decoder=codec) | (head or {}),
        test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=True))


def shrink_model(model: dict) -> dict:
    """A copy of a shipped config's ``model`` whose CLIP or BLIP towers are tiny and take no weights.

    Each open_clip name under ``arch`` becomes its :func:`shrink_architecture`, the ``in_channels`` of a head that
    counts the backbone's channels follow, and initialisation from checkpoints is left out. A BLIP becomes that of
    :func:`tiny_blip_model`, with the words of its own captions; LOFR's transformer is narrow; a MeTTA is a few channels
    wide, its ResNet, HRNet or Swin too. All else stays, backbones of other kinds too.
    """
    model = deepcopy(model)
    if 'codec' in model:  # it writes captions
        return _shrink_blip(model)
    backbone = model['backbone']
    narrower = 0
    if isinstance(backbone.get('arch'), str):
        backbone['arch'], channels = shrink_architecture(backbone['arch'], 'vision')
        tower = backbone['arch']
        narrower = channels - (32 if isinstance(tower['layers'], list) else 1) * tower['width']
    backbone.pop('init_cfg', None)
    neck = model.get('neck') or {}
    text_encoder = neck.get('text_encoder')
    if text_encoder is None and narrower and 'embed_dim' in neck:
        neck['embed_dim'] = tower['embed_dim']  # of a learned matrix
    if text_encoder:
        if isinstance(text_encoder.get('arch'), str):
            text_encoder['arch'], _ = shrink_architecture(text_encoder['arch'], 'text')
        text_encoder.pop('init_cfg', None)
    head = model['head'].get('head', model['head'])
    if head['type'] == 'LOFRHead':
        shrink_lofr(head, backbone)
    elif head.get('in_channels') is not None:
        head['in_channels'] -= narrower
    if model.get('type') == 'MeTTAPoseEstimator':
        head['in_channels'] -= narrow_backbone(backbone)
        shrink_metta_head(head)
    return model


def _shrink_blip(model: dict) -> dict:
    tiny = tiny_blip_model(codec=model['codec'], patch_size=max(model['codec']['input_size']) // 4)
    model.pop('pretrained', None)
    return dict(model, blip=tiny['blip'], vocabulary=tiny['vocabulary'])
