_base_ = ['./clamp_vit-l14_4xb32-210e_ap10k-224x224.py']
num_keypoints = len(_base_.keypoint_names)

# model settings: CLAMP's backbone and recipe with MMPose's own head and nothing of language
model = dict(
    backbone=dict(with_embedding=False),
    neck=None,
    head=dict(
        _delete_=True,
        type='HeatmapHead',
        in_channels=1024,
        out_channels=num_keypoints,
        deconv_out_channels=(256, 256),  # from the grid of 16x16 patches to 64x64
        deconv_kernel_sizes=(4, 4),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=_base_.codec))
