_base_ = ['./lofr_res50_4xb32-160e_mpii-256x256.py']

# codec settings
codec = dict(type='MSRAHeatmap', input_size=(384, 384), heatmap_size=(96, 96), sigma=3)

# model settings
model = dict(head=dict(encoder=dict(with_cp=True), decoder=codec))  # with_cp: see Memory in README.md

# pipelines
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GeneratePresence'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomBBoxTransform', shift_prob=0.0, scale_factor=(0.65, 1.35), scale_prob=1.0, rotate_prob=0.0),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPresenceInputs')
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPoseInputs')
]

# data loaders
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
