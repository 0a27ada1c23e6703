"""MeTTA models that train on a CPU in milliseconds."""
from __future__ import annotations

from copy import deepcopy

_CODEC = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5)


def tiny_metta_model(stage: str = 'joint', *, num_keypoints: int = 5, codec: dict | None = None,
                     head: dict | None = None, **estimator_args) -> dict:
    """Config of a MeTTA estimator for 64x64 pixels, on a narrow ResNet-18.

    ``head`` are arguments that replace or add to the head's, ``estimator_args`` those of the estimator; ``codec`` is
    MSRA with 16x16 heatmaps.
    """
    codec = codec or deepcopy(_CODEC)
    return dict(
        type='MeTTAPoseEstimator',
        stage=stage,
        data_preprocessor=dict(
            type='PoseDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True),
        backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4, strides=(1, 2, 2, 1)),  # stride 16
        head=dict(
            type='MeTTAHead',
            in_channels=32,
            out_channels=num_keypoints,
            deconv_out_channels=(8, 8),
            deconv_kernel_sizes=(4, 4),
            conv_out_channels=(8, 8),
            inpainting=dict(base_channels=2),
            decoder=codec) | (head or {}),
        test_cfg=dict(flip_test=False)) | estimator_args


def shrink_metta_head(head: dict) -> None:
    """Makes the layers of a shipped config's head a few channels wide."""
    deconvs = head.get('deconv_out_channels', (256, ) * 3)
    if deconvs:
        head['deconv_out_channels'] = (8, ) * len(deconvs)
    head.update(conv_out_channels=(8, 8), inpainting=dict(base_channels=2))


def narrow_backbone(backbone: dict) -> int:
    """Makes a backbone of a shipped config shallow and an eighth as wide; returns by how many channels its output is
    narrower, 0 for one that is left as it is."""
    if backbone['type'] == 'ResNet' and 'base_channels' not in backbone:
        backbone.update(depth=50, base_channels=8, stem_channels=8)
        return 2048 - 256
    if backbone['type'] == 'SwinTransformer':
        narrower = backbone['embed_dims'] * 8
        backbone.update(embed_dims=backbone['embed_dims'] // 8, depths=[1] * 4)
        return narrower - backbone['embed_dims'] * 8
    if backbone['type'] == 'HRNet':
        stages = [backbone['extra'][f'stage{number}'] for number in (2, 3, 4)]
        narrower = stages[-1]['num_channels'][0]
        for stage in stages:
            channels = tuple(width // 8 for width in stage['num_channels'])
            stage.update(num_modules=1, num_blocks=(1, ) * len(channels), num_channels=channels)
        return narrower - stages[-1]['num_channels'][0]
    return 0
