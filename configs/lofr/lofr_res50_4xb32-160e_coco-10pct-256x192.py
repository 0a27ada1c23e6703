_base_ = ['./lofr_res50_4xb32-160e_coco-256x192.py']
codec = _base_.codec

# model settings
model = dict(head=dict(keypoint_loss=dict(type='KeypointMSELoss', use_target_weight=True)))  # Eq. 14

# pipelines: a random 10 % of the instances keep their locations; `located` takes a file too
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GeneratePresence', located=0.1, seed=0),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomBBoxTransform', shift_prob=0.0, scale_factor=(0.65, 1.35), scale_prob=1.0, rotate_prob=0.0),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPresenceInputs')
]

# data loaders
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
