_base_ = ['../_base_/default_runtime.py', '../_base_/caption_names/mpii.py']

# A BLIP from scratch on generated people, for a CPU and some minutes; make its data with
#   clamp-mmpose make-toy-data data/toypeople --kind people --train 6000
#   clamp-mmpose prepare-mpii-captions data/toypeople/annotations/mpii_train.json data/toypeople/annotations/mpii_val.json

# runtime
train_cfg = dict(max_epochs=40, val_interval=10)
randomness = dict(seed=0)

# optimizer
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1.5e-3, weight_decay=0.05, betas=(0.9, 0.98)),
    clip_grad=dict(max_norm=1.0),
    paramwise_cfg=dict(
        bypass_duplicate=True,  # the output layer shares its weight with the table of words
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys=dict(embeddings=dict(decay_mult=0.0))))

# learning policy
param_scheduler = [
    dict(type='LinearLR', begin=0, end=50, start_factor=0.02, by_epoch=False),  # warm-up
    dict(type='CosineAnnealingLR', begin=0, end=40, T_max=40, eta_min=1e-6, by_epoch=True, convert_to_iter_based=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=16)

# hooks
default_hooks = dict(
    logger=dict(interval=20), checkpoint=dict(interval=10, max_keep_ckpts=1, save_best='caption/MAE', rule='less'))

# codec settings
codec = dict(type='CaptionPose', input_size=(128, 128), names=_base_.caption_names, missing='forbid')

# model settings
model = dict(
    type='BLIPCaptionPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        mean=[122.7709, 116.7460, 104.0937],
        std=[68.5005, 66.6322, 70.3232],
        bgr_to_rgb=True),
    blip=dict(
        vision_config=dict(
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=3,
            num_attention_heads=4,
            patch_size=16,
            initializer_range=0.06),  # 0.02 is for widths of 768
        text_config=dict(
            hidden_size=96,
            intermediate_size=384,
            num_hidden_layers=1,
            num_attention_heads=4,
            max_position_embeddings=128,
            initializer_range=0.06)),
    vocabulary='caption',
    # what stands in for BLIP's pre-training
    init_cfg=dict(type='SpatialPrior', positions=1.25),
    context_noise=dict(probability=0.9, std=16),
    patch_loss_weight=1.0,
    backbone=dict(),  # there is none; MMPose's init_model asks for it
    codec=codec,
    test_cfg=dict(decoding='constrained'))

# base dataset settings
dataset_type = 'CheckedMpiiDataset'  # MMPose's MpiiDataset, with pixels counted from 0
data_mode = 'topdown'
data_root = 'data/toypeople/'

# pipelines
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
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
        ann_file='annotations/mpii_captions_train.json',
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
        ann_file='annotations/mpii_captions_val.json',
        headbox_file=data_root + 'annotations/mpii_captions_gt_val.mat',
        data_prefix=dict(img='data/'),
        test_mode=True,
        pipeline=val_pipeline))
test_dataloader = val_dataloader

# evaluators
val_evaluator = [dict(type='CaptionPoseMetric', codec=codec), dict(type='ZeroBasedMpiiPCKAccuracy')]
test_evaluator = val_evaluator
