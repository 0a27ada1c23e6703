_base_ = ['../_base_/default_runtime.py', '../_base_/caption_names/coco.py']

# runtime; the paper has no COCO: batch, epochs and learning policy are ours
train_cfg = dict(max_epochs=10, val_interval=1)

# optimizer; a larger batch than the paper's, so a larger rate of those that it tried
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-5, betas=(0.9, 0.999), weight_decay=0.01), clip_grad=dict(max_norm=1.0))

# learning policy
param_scheduler = [
    dict(type='LinearLR', begin=0, end=500, start_factor=0.001, by_epoch=False),  # warm-up
    dict(type='CosineAnnealingLR', begin=0, end=10, T_max=10, eta_min=1e-6, by_epoch=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=64)

# hooks
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1, save_best='coco/AP', rule='greater'))

# codec settings: joints that are not annotated, or outside the crop, are left out of the caption
codec = dict(
    type='CaptionPose', input_size=(384, 384), names=_base_.caption_names, missing='skip', outside='missing')

# model settings
model = dict(
    type='BLIPCaptionPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor',
        # BLIP's statistics, which are CLIP's
        mean=[122.7709, 116.7460, 104.0937],
        std=[68.5005, 66.6322, 70.3232],
        bgr_to_rgb=True),
    pretrained='Salesforce/blip-image-captioning-base',  # a name in Hugging Face's hub, or a folder
    backbone=dict(),  # there is none; MMPose's init_model asks for it
    codec=codec,
    test_cfg=dict(decoding='constrained'))

# base dataset settings
dataset_type = 'CheckedCocoDataset'  # MMPose's CocoDataset; unusable annotations are a clear error
data_mode = 'topdown'
data_root = 'data/coco/'

# pipelines
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomBBoxTransform'),
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
    num_workers=4,
    persistent_workers=False,  # workers start anew with the epoch's seed
    worker_init_fn=dict(type='epoch_worker_init'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file='annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='train2017/'),
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
        ann_file='annotations/person_keypoints_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=val_pipeline))
test_dataloader = val_dataloader

# evaluators; with ground-truth boxes, as the pixel errors need labels
val_evaluator = [
    dict(type='CocoMetric', ann_file=data_root + 'annotations/person_keypoints_val2017.json'),
    dict(type='CaptionPoseMetric', codec=codec)
]
test_evaluator = val_evaluator
