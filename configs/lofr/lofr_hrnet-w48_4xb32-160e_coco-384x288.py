_base_ = ['./lofr_hrnet-w32_4xb32-160e_coco-384x288.py']

# model settings
model = dict(
    backbone=dict(
        with_cp=True,  # 5 GiB of activations at batch 32, and 14 without
        extra=dict(
            stage2=dict(num_channels=(48, 96)),
            stage3=dict(num_channels=(48, 96, 192)),
            stage4=dict(num_channels=(48, 96, 192, 384))),
        init_cfg=dict(checkpoint='https://download.openmmlab.com/mmpose/pretrain_models/hrnet_w48-8ef0771d.pth')),
    head=dict(in_channels=(48, 96, 192, 384)))
