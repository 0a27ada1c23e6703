_base_ = ['./clamp_vit-b16_4xb32-210e_coco-256x192.py']
num_keypoints = len(_base_.keypoint_names)

# model settings: CLAMP's backbone and recipe with MMPose's own head and nothing of language
model = dict(
    backbone=dict(with_embedding=False),
    neck=None,
    head=dict(
        _delete_=True,
        type='HeatmapHead',
        in_channels=768,
        out_channels=num_keypoints,
        deconv_out_channels=(256, 256),  # from stride 16 to stride 4
        deconv_kernel_sizes=(4, 4),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=_base_.codec))
