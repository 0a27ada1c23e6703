_base_ = ['./lofr_tiny_1xb16-30e_toypeople-128x128.py']
codec = _base_.codec

# model settings
model = dict(
    head=dict(keypoint_loss=dict(type='HeatmapCrossEntropyLoss', use_target_weight=True, loss_weight=0.2)))

# pipelines: all people keep their locations
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GeneratePresence', located=1),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomBBoxTransform', shift_prob=0.0, scale_factor=(0.65, 1.35), scale_prob=1.0, rotate_prob=0.0),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPresenceInputs')
]

# data loaders
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type=_base_.dataset_type,
        data_root=_base_.data_root,
        data_mode=_base_.data_mode,
        ann_file='annotations/person_keypoints_train.json',
        data_prefix=dict(img='data/'),
        pipeline=train_pipeline))
