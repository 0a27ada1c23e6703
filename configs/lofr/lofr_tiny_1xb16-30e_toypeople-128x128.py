_base_ = ['../_base_/default_runtime.py', '../_base_/keypoint_names/coco.py']
num_keypoints = len(_base_.keypoint_names)

# Location-free LOFR from scratch on generated people, for a CPU and some minutes; make its data with
#   clamp-mmpose make-toy-data data/toypeople --kind people --train 1500
# Whole people show most of their keypoints, which teaches little: lofr_tiny_1xb16-6e_toypeople-windows-128x128.py

# runtime
train_cfg = dict(max_epochs=30, val_interval=10)
randomness = dict(seed=0)

# optimizer
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=2e-3, weight_decay=1e-4), clip_grad=dict(max_norm=1.0))

# learning policy
param_scheduler = [
    dict(type='LinearLR', begin=0, end=100, start_factor=0.01, by_epoch=False),  # warm-up
    dict(type='CosineAnnealingLR', begin=0, end=30, T_max=30, eta_min=2e-5, by_epoch=True, convert_to_iter_based=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=16)

# hooks
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=10, max_keep_ckpts=1))

# codec settings
codec = dict(type='MSRAHeatmap', input_size=(128, 128), heatmap_size=(32, 32), sigma=1.5)

# model settings
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='ResNet',
        depth=18,
        base_channels=16,
        stem_channels=16,
        strides=(1, 2, 2, 1),  # the last stage at stride 16: activation maps of 8x8
        out_indices=(0, 1, 2, 3)),
    head=dict(
        type='LOFRHead',
        in_channels=(16, 32, 64, 128),
        strides=(4, 8, 16, 16),
        scales=(8, 16),  # MS; (8, ) without. Stride 4 would take most of the time
        out_channels=num_keypoints,
        channels=64,  # 256 at full size
        metainfo='configs/_base_/datasets/coco.py',
        encoder=dict(num_layers=1, num_heads=4, feedforward_channels=128, dropout=0.0),
        reppg=dict(embedding=True),
        part_decoder=dict(num_layers=1, num_heads=1, feedforward_channels=128, dropout=0.0),
        local_matching=dict(),
        classification_weights=(0.2, 0.2, 1.0),
        diversity_loss=dict(type='PartDiversityLoss', loss_weight=0.01),
        decoder=codec),
    test_cfg=dict(flip_test=False))

# base dataset settings
dataset_type = 'CheckedCocoDataset'  # MMPose's CocoDataset; unusable annotations are a clear error
data_mode = 'topdown'
data_root = 'data/toypeople/'

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
train_dataloader = dict(
    batch_size=16,
    num_workers=0,  # two cores have enough to do with the model
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file='annotations/person_keypoints_train.json',
        data_prefix=dict(img='data/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file='annotations/person_keypoints_val.json',
        data_prefix=dict(img='data/'),
        test_mode=True,
        pipeline=val_pipeline))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(type='CocoMetric', ann_file=data_root + 'annotations/person_keypoints_val.json')
test_evaluator = val_evaluator
