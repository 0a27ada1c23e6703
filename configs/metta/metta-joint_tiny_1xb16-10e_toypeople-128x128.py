_base_ = ['../_base_/default_runtime.py', '../_base_/keypoint_names/coco.py']
num_keypoints = len(_base_.keypoint_names)

# MeTTA's joint stage from scratch on generated people, for a CPU and some minutes; make its data with
#   clamp-mmpose make-toy-data data/toypeople --kind people --train 1500

# runtime
train_cfg = dict(max_epochs=10, val_interval=5)
randomness = dict(seed=0)

# optimizer
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=4e-3, weight_decay=1e-4, betas=(0.9, 0.98)), clip_grad=dict(max_norm=1.0))

# learning policy
param_scheduler = [
    dict(type='LinearLR', begin=0, end=200, start_factor=0.01, by_epoch=False),  # warm-up
    dict(type='CosineAnnealingLR', begin=0, end=10, T_max=10, eta_min=1e-6, by_epoch=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=16)

# hooks
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=5, max_keep_ckpts=1))

# codec settings
codec = dict(type='MSRAHeatmap', input_size=(128, 128), heatmap_size=(32, 32), sigma=2)

# model settings
model = dict(
    type='MeTTAPoseEstimator',
    stage='joint',
    # The heatmap loss is some 0.005, that of the pixels 0.5; with more weight it keeps the block from learning the pose.
    auxiliary_weight=3e-4,
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(type='ResNet', depth=18, base_channels=16, stem_channels=16, strides=(1, 2, 2, 1)),  # stride 16
    head=dict(
        type='MeTTAHead',
        in_channels=128,
        out_channels=num_keypoints,
        deconv_out_channels=(64, 64),  # from stride 16 to stride 4
        deconv_kernel_sizes=(4, 4),
        conv_out_channels=(32, 32),  # the adaptable block; 256 at full size
        adaptable=('conv_layers', 'conv_layers.1', 'conv_layers.4', 'self_supervised_layer'),  # with its norms
        inpainting=dict(base_channels=16),  # 32 in the supplement
        inpainting_size=(32, 32),  # a sixteenth of the cost
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=codec),
    test_cfg=dict(flip_test=False))

# base dataset settings
dataset_type = 'CheckedCocoDataset'  # MMPose's CocoDataset; unusable annotations are a clear error
data_mode = 'topdown'
data_root = 'data/toypeople/'

# pipelines
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomBBoxTransform', scale_factor=(0.75, 1.25), rotate_factor=30.0),  # TTP's
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs')
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
