_base_ = ['../_base_/default_runtime.py', '../_base_/keypoint_names/crowdpose.py']
num_keypoints = len(_base_.keypoint_names)

# LOFR, location-free: it learns from which keypoints are in the picture, and sees no location. What the paper does not
# give is marked as ours.

# runtime
train_cfg = dict(max_epochs=210, val_interval=10)

# optimizer
optim_wrapper = dict(
    optimizer=dict(type='Adam', lr=4e-4, weight_decay=1e-4),  # ours: the paper's 4e-3 is high for Adam on a ResNet
    clip_grad=dict(max_norm=1.0),  # ours
    paramwise_cfg=dict(custom_keys={
        # the transformer: a tenth of the rate, Sec. 4.2
        'head.encoder.layers': dict(lr_mult=0.1),
        'head.part_decoder': dict(lr_mult=0.1),
    }))

# learning policy; ours
param_scheduler = [
    dict(type='LinearLR', begin=0, end=500, start_factor=0.001, by_epoch=False),  # warm-up
    dict(type='MultiStepLR', begin=0, end=210, milestones=[170, 200], gamma=0.1, by_epoch=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=128)

# hooks
default_hooks = dict(checkpoint=dict(save_best='crowdpose/AP', rule='greater'))

# codec settings
codec = dict(type='MSRAHeatmap', input_size=(192, 256), heatmap_size=(48, 64), sigma=2)

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
        depth=50,
        out_indices=(0, 1, 2, 3),
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    head=dict(
        type='LOFRHead',
        in_channels=(256, 512, 1024, 2048),  # strides 4 to 32; the last one makes the activation maps
        out_channels=num_keypoints,
        scales=(4, 8, 16),  # MS; (4, ) without
        metainfo='configs/_base_/datasets/crowdpose.py',  # the skeleton
        spe=dict(mode='max'),
        encoder=dict(num_layers=4),
        reppg=dict(num_layers=2),
        part_decoder=dict(num_layers=6),
        classification_weights=(0.2, 0.2, 0.5),
        diversity_loss=dict(type='PartDiversityLoss', loss_weight=0.1),
        decoder=codec),
    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=True))

# base dataset settings
dataset_type = 'CrowdPoseDataset'
data_mode = 'topdown'
data_root = 'data/crowdpose/'

# pipelines
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GeneratePresence'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    # Sec. 4.2 has flip and scale alone
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
    batch_size=32,
    num_workers=4,
    persistent_workers=False,  # workers start anew with the epoch's seed
    worker_init_fn=dict(type='epoch_worker_init'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file='annotations/mmpose_crowdpose_trainval.json',
        data_prefix=dict(img='images/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file='annotations/mmpose_crowdpose_test.json',
        bbox_file=data_root + 'annotations/det_for_crowd_test_0.1_0.5.json',
        data_prefix=dict(img='images/'),
        test_mode=True,
        pipeline=val_pipeline))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(
    type='CocoMetric',
    ann_file=data_root + 'annotations/mmpose_crowdpose_test.json',
    use_area=False,
    iou_type='keypoints_crowd',
    prefix='crowdpose')
test_evaluator = val_evaluator
