_base_ = ['../_base_/default_runtime.py', '../_base_/keypoint_names/ap10k.py']
num_keypoints = len(_base_.keypoint_names)

# runtime
train_cfg = dict(max_epochs=210, val_interval=10)

# optimizer; the text tower is frozen by itself
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={
        'norm': dict(decay_mult=0.0),  # as released
        'backbone': dict(lr_mult=0.1),  # a tenth of the rate, Sec. 4.1
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
        # CLIP's statistics, as released
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.3231630],
        bgr_to_rgb=True),
    backbone=dict(type='CLIPResNet', arch=arch, input_size=codec['input_size'], init_cfg=clip_weights),
    neck=dict(
        type='DenseCLIPNeck',
        names=_base_.keypoint_names,
        # 13 tokens: start, 8 learnable, up to 3 of the name, end
        text_encoder=dict(type='CLIPTextEncoder', arch=arch, context_length=13, init_cfg=clip_weights),
        prompting='post',
        num_contexts=8),
    head=dict(
        type='WithAuxiliaryLoss',
        head=dict(
            type='HeatmapHead',
            in_channels=2048 + num_keypoints,
            out_channels=num_keypoints,
            loss=dict(type='KeypointMSELoss', use_target_weight=True),
            decoder=codec),
        losses=[dict(type='ScoreMapBCELoss', tau=0.07)]),
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
    # the auxiliary loss needs the keypoints
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
