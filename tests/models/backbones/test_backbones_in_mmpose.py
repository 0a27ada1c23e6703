"""The backbones alone in MMPose's own models: heads and necks that know nothing of CLIP."""
from copy import deepcopy

import pytest
import torch
from mmpose.models import build_pose_estimator

from clamp_mmpose.testing import TINY_RESNET, TINY_VIT, pack_batch

HEATMAP = dict(type='MSRAHeatmap', input_size=(64, 96), heatmap_size=(16, 24), sigma=1.5)
SIMCC = dict(type='SimCCLabel', input_size=(64, 96), sigma=(4.9, 5.66), simcc_split_ratio=2.0, normalize=False,
             use_dark=False)
RTMCC = dict(
    type='RTMCCHead',
    out_channels=17,
    input_size=(64, 96),
    simcc_split_ratio=2.0,
    final_layer_kernel_size=1,
    gau_cfg=dict(hidden_dims=32, s=16, expansion_factor=2, dropout_rate=0., drop_path=0., act_fn='SiLU',
                 use_rel_bias=False, pos_enc=False),
    loss=dict(type='KLDiscretLoss', use_target_weight=True, beta=10., label_softmax=True),
    decoder=SIMCC)
FPN = dict(type='FPN', out_channels=32, num_outs=4)


def heatmap_head(in_channels, deconvs):
    return dict(type='HeatmapHead', in_channels=in_channels, out_channels=17, decoder=HEATMAP,
                deconv_out_channels=(16, ) * deconvs, deconv_kernel_sizes=(4, ) * deconvs)


def resnet(**arguments):
    return dict(type='CLIPResNet', arch=TINY_RESNET, input_size=(64, 96), **arguments)


def vit(**arguments):
    return dict(type='CLIPVisionTransformer', arch=TINY_VIT, input_size=(64, 96), **arguments)


CASES = {
    'resnet, heatmaps': (resnet(with_embedding=False), None, heatmap_head(256, 3)),
    'resnet with its embedding, heatmaps': (resnet(), None, heatmap_head(256, 3)),
    'vit, heatmaps': (vit(with_embedding=False), None, heatmap_head(32, 2)),
    'resnet, rtmcc': (resnet(with_embedding=False), None, dict(RTMCC, in_channels=256, in_featuremap_size=(2, 3))),
    'vit, rtmcc': (vit(with_embedding=False), None, dict(RTMCC, in_channels=32, in_featuremap_size=(4, 6))),
    'resnet, fpn of four maps': (resnet(with_embedding=False), dict(FPN, in_channels=[32, 64, 128, 256]),
                                 heatmap_head(32, 3)),
    'vit, fpn of four maps': (dict(vit(with_embedding=False, out_indices=(0, 1, 2, 3)), arch=dict(TINY_VIT, layers=4)),
                              dict(FPN, in_channels=[32] * 4), heatmap_head(32, 2)),
}


@pytest.mark.parametrize('case', CASES)
def test_a_backbone_trains_and_predicts_in_a_stock_model(case):
    backbone, neck, head = deepcopy(CASES[case])
    model = build_pose_estimator(
        dict(
            type='TopdownPoseEstimator',
            data_preprocessor=dict(type='PoseDataPreprocessor', mean=[123.675, 116.28, 103.53],
                                   std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
            backbone=backbone,
            neck=neck,
            head=head,
            test_cfg=dict(flip_test=True)))
    batch = pack_batch(head['decoder'], 17)

    model.train()
    losses = model(**model.data_preprocessor(deepcopy(batch), True), mode='loss')
    losses['loss_kpt'].backward()
    assert torch.isfinite(losses['loss_kpt']) and losses['loss_kpt'] > 0
    if 'its embedding' not in case:
        assert all(p.grad is not None for p in model.backbone.parameters())

    model.eval()
    with torch.no_grad():
        results = model(**model.data_preprocessor(deepcopy(batch)), mode='predict')
    assert [result.pred_instances.keypoints.shape for result in results] == [(1, 17, 2)] * 2


def test_fpn_sees_maps_at_the_strides_it_expects():
    model = build_pose_estimator(
        dict(type='TopdownPoseEstimator', backbone=resnet(), neck=dict(FPN, in_channels=[32, 64, 128, 256]),
             head=heatmap_head(32, 3)))
    feats = model.extract_feat(torch.randn(1, 3, 96, 64))
    assert [tuple(x.shape[1:]) for x in feats] == [(32, 24, 16), (32, 12, 8), (32, 6, 4), (32, 3, 2)]
