_base_ = ['../_base_/default_runtime.py', '../_base_/keypoint_names/ap10k.py']
num_keypoints = len(_base_.keypoint_names)

# CLAMP from scratch on generated animals, for a CPU and some minutes; make its data with
#   clamp-mmpose make-toy-data data/toyanimals

# runtime
train_cfg = dict(max_epochs=30, val_interval=10)
randomness = dict(seed=0)

# optimizer
optim_wrapper = dict(
    # The score map's loss starts large; with betas of (0.9, 0.999) its first gradients slow the whole short training.
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=1e-4, betas=(0.9, 0.98)),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0))

# learning policy
param_scheduler = [
    dict(type='LinearLR', begin=0, end=100, start_factor=0.01, by_epoch=False),  # warm-up
    dict(type='CosineAnnealingLR', begin=0, end=30, T_max=30, eta_min=1e-5, by_epoch=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=16)

# hooks
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=10, max_keep_ckpts=1, save_best='coco/AP', rule='greater'))

# codec settings: on a map this coarse, UDP's sub-pixel decoding counts
codec = dict(type='UDPHeatmap', input_size=(128, 128), heatmap_size=(32, 32), sigma=1.5)

# model settings
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='CLIPResNet',
        arch=dict(embed_dim=64, layers=[1, 2, 2, 1], width=16),
        input_size=codec['input_size'],
        out_indices=(2, ),  # 256 channels at stride 16
        with_embedding=False),
    neck=dict(
        type='PromptLearnerNeck',
        keypoint_names=_base_.keypoint_names,
        text_encoder=dict(
            type='CLIPTextEncoder', arch=dict(embed_dim=64, width=64, heads=2, layers=2), context_length=13),
        prompt_encoder=dict(num_heads=2),
        context_decoder=dict(width=64, num_layers=1),
        # CLIP's attention pool, without pretrained weights, gives every position the same embedding.
        embedding=dict(type='DenseProjection', in_channels=256)),
    head=dict(
        type='CLAMPHead',
        in_channels=256 + num_keypoints,
        out_channels=num_keypoints,
        deconv_out_channels=(64, 64),  # from stride 16 to stride 4
        deconv_kernel_sizes=(4, 4),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        spatial_loss=dict(type='KeypointMSELoss', use_target_weight=True, loss_weight=1.0),
        score_head=dict(deconv_out_channels=(32, 32)),
        feature_loss=dict(type='KeypointTextContrastiveLoss', loss_weight=5e-4),
        decoder=codec),
    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=False))

# base dataset settings
dataset_type = 'CheckedAP10KDataset'  # MMPose's AP10KDataset; unusable annotations are a clear error
data_mode = 'topdown'
data_root = 'data/toyanimals/'

# pipelines
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomBBoxTransform', scale_factor=(0.8, 1.25), rotate_factor=30.0),
    dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
    dict(type='GenerateTarget', encoder=codec),
    # the feature loss samples at the keypoints
    dict(type='PackPoseInputs', pack_transformed=True)
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True),
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
        ann_file='annotations/ap10k-train-split1.json',
        data_prefix=dict(img='data/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
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
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(type='CocoMetric', ann_file=data_root + 'annotations/ap10k-val-split1.json')
test_evaluator = val_evaluator
