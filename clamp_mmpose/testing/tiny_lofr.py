"""LOFR models that train on a CPU in milliseconds."""
from __future__ import annotations

from copy import deepcopy

from .tiny_metta import narrow_backbone

_CODEC = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.5)


def tiny_lofr_model(*, num_keypoints: int = 5, codec: dict | None = None, head: dict | None = None,
                    **estimator_args) -> dict:
    """Config of a LOFR estimator for 64x64 pixels, on a narrow ResNet-18 with maps at strides 4, 8, 16 and 32.

    ``head`` are arguments that replace or add to the head's, ``estimator_args`` those of the estimator; ``codec`` is
    MSRA with 16x16 heatmaps. The skeleton is a chain.
    """
    codec = codec or deepcopy(_CODEC)
    small = dict(num_layers=2, num_heads=2, feedforward_channels=16)
    return dict(
        type='TopdownPoseEstimator',
        data_preprocessor=dict(
            type='PoseDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True),
        backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4, out_indices=(0, 1, 2, 3)),
        head=dict(
            type='LOFRHead',
            in_channels=(4, 8, 16, 32),
            out_channels=num_keypoints,
            channels=8,
            skeleton_links=[(index, index + 1) for index in range(num_keypoints - 1)],
            encoder=dict(small),
            part_decoder=dict(small),
            decoder=codec) | (head or {}),
        test_cfg=dict(flip_test=False)) | estimator_args


def shrink_lofr(head: dict, backbone: dict) -> None:
    """Makes the transformer of a shipped config narrow, and its ResNet, HRNet or Swin an eighth as wide."""
    if narrow_backbone(backbone):
        head['in_channels'] = tuple(channels // 8 for channels in head['in_channels'])
    head['channels'] = 16
    for part in ('encoder', 'part_decoder'):
        head[part] = dict(head.get(part) or {}, num_heads=2, feedforward_channels=16)
    if head.get('position_encoding'):
        head['position_encoding']['num_feats'] = 8
