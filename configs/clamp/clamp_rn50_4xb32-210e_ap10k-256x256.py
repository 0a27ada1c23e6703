_base_ = ['../_base_/default_runtime.py', '../_base_/keypoint_names/ap10k.py']
num_keypoints = len(_base_.keypoint_names)

# runtime
train_cfg = dict(max_epochs=210, val_interval=10)

# optimizer; the text tower is frozen by itself
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={
        # as released: what has 'norm' or 'bias' in its name, so CLIP's bn and ln weights are decayed
        'norm': dict(decay_mult=0.0),
        'bias': dict(decay_mult=0.0),
    }))

# learning policy
param_scheduler = [
    dict(type='LinearLR', begin=0, end=500, start_factor=0.001, by_epoch=False),  # warm-up
    dict(type='MultiStepLR', begin=0, end=210, milestones=[170, 200], gamma=0.1, by_epoch=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=128)

# hooks
default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater'))

# codec settings
codec = dict(type='MSRAHeatmap', input_size=(256, 256), heatmap_size=(64, 64), sigma=2)

# model settings
arch = 'RN50-quickgelu'
clip_weights = dict(type='CLIPPretrained', checkpoint='openai')
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        # ImageNet's statistics, as released, not CLIP's
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(type='CLIPResNet', arch=arch, input_size=codec['input_size'], init_cfg=clip_weights),
    neck=dict(
        type='PromptLearnerNeck',
        keypoint_names=_base_.keypoint_names,
        # 13 tokens: start, 8 learnable, up to 3 of the name, end
        text_encoder=dict(type='CLIPTextEncoder', arch=arch, context_length=13, init_cfg=clip_weights),
        num_contexts=8),
    head=dict(
        type='CLAMPHead',
        in_channels=2048 + num_keypoints,
        out_channels=num_keypoints,
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        # the paper does not give the weights of Eq. 10; these are the released ones
        spatial_loss=dict(type='KeypointMSELoss', use_target_weight=True, loss_weight=0.4),
        feature_loss=dict(type='KeypointTextContrastiveLoss', loss_weight=5e-4),
        decoder=codec),
    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=True))

# base dataset settings
dataset_type = 'CheckedAP10KDataset'  # MMPose's AP10KDataset; unusable annotations are a clear error
data_mode = 'topdown'
data_root = 'data/ap10k/'

# pipelines
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomHalfBody'),
    dict(type='RandomBBoxTransform'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    # the feature loss samples at the keypoints
    dict(type='PackPoseInputs', pack_transformed=True)
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
        ann_file='annotations/ap10k-train-split1.json',
        data_prefix=dict(img='data/'),
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
        ann_file='annotations/ap10k-val-split1.json',
        data_prefix=dict(img='data/'),
        test_mode=True,
        pipeline=val_pipeline))
test_dataloader = val_dataloader  # as released and in the paper: the validation split is the test set

# evaluators
val_evaluator = dict(type='CocoMetric', ann_file=data_root + 'annotations/ap10k-val-split1.json')
test_evaluator = val_evaluator
