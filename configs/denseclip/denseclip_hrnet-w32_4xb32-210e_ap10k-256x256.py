_base_ = ['./denseclip_resnet50_4xb32-210e_ap10k-256x256.py']
num_keypoints = len(_base_.keypoint_names)

# model settings
model = dict(
    backbone=dict(
        _delete_=True,
        type='HRNet',
        in_channels=3,
        extra=dict(
            stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(4, ), num_channels=(64, )),
            stage2=dict(num_modules=1, num_branches=2, block='BASIC', num_blocks=(4, 4), num_channels=(32, 64)),
            stage3=dict(
                num_modules=4, num_branches=3, block='BASIC', num_blocks=(4, 4, 4), num_channels=(32, 64, 128)),
            stage4=dict(
                num_modules=3, num_branches=4, block='BASIC', num_blocks=(4, ) * 4, num_channels=(32, 64, 128, 256),
                multiscale_output=True)),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmpose/pretrain_models/hrnet_w32-36af842e.pth')),
    neck=dict(
        embedding=dict(in_channels=256),
        next_neck=dict(type='FeatureMapProcessor', concat=True)),  # all four maps, at stride 4
    head=dict(head=dict(in_channels=32 + 64 + 128 + 256 + num_keypoints, deconv_out_channels=None)))
