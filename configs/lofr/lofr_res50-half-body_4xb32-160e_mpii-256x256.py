_base_ = ['./lofr_res50_4xb32-160e_mpii-256x256.py']
codec = _base_.codec

# pipelines: with half-body crops, Sec. 4.2. These need the locations of keypoints, and so do the labels of what a crop
# leaves: this training is not location-free.
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomHalfBody'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomBBoxTransform', shift_prob=0.0, scale_factor=(0.65, 1.35), scale_prob=1.0, rotate_prob=0.0),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GeneratePresence', recompute_after_crop=True, accept_location_leak=True),
    dict(type='PackPresenceInputs')
]

# data loaders
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
