_base_ = ['./clamp_rn50_4xb32-210e_animalpose-256x256.py']
num_keypoints = len(_base_.keypoint_names)

# model settings: CLAMP's backbone and recipe with MMPose's own head and nothing of language
model = dict(
    backbone=dict(with_embedding=False),
    neck=None,
    head=dict(
        _delete_=True,
        type='HeatmapHead',
        in_channels=2048,
        out_channels=num_keypoints,
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=_base_.codec))
