_base_ = ['../_base_/default_runtime.py', '../_base_/caption_names/mpii.py']

# runtime
train_cfg = dict(max_epochs=25, val_interval=1)

# optimizer; all parameters are trained
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=2e-5, betas=(0.9, 0.999)))  # weight decay not given: PyTorch's

# learning policy: none is given
param_scheduler = [dict(type='ConstantLR', factor=1.0, begin=0, end=25, by_epoch=True)]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=4)

# hooks: epochs 1, 15 and the last, to look at (Fig. 7 has 1, 15 and 23)
default_hooks = dict(checkpoint=dict(interval=14, save_begin=1, save_best='caption/MAE', rule='less'))

# codec settings: captions of the whole pose in whole pixels, of people all of whose joints are annotated
codec = dict(type='CaptionPose', input_size=(384, 384), names=_base_.caption_names, missing='forbid')

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
    # the paper decodes greedily; this equals it wherever greedy decoding gives a whole caption
    test_cfg=dict(decoding='constrained'))

# base dataset settings
dataset_type = 'CheckedMpiiDataset'  # MMPose's MpiiDataset, with pixels counted from 0
data_mode = 'topdown'
data_root = 'data/mpii/'

# pipelines; the paper says of no augmentation
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='WholeImageAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs')
]
val_pipeline = [
    dict(type='LoadImage'),
    dict(type='WholeImageAffine', input_size=codec['input_size']),
    dict(type='PackPoseInputs')
]

# data loaders; `clamp-mmpose prepare-mpii-captions` writes the files
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=False,  # workers start anew with the epoch's seed
    worker_init_fn=dict(type='epoch_worker_init'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file='annotations/mpii_captions_train.json',
        data_prefix=dict(img='images/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file='annotations/mpii_captions_val.json',
        headbox_file=data_root + 'annotations/mpii_captions_gt_val.mat',
        data_prefix=dict(img='images/'),
        test_mode=True,
        pipeline=val_pipeline))
test_dataloader = val_dataloader

# evaluators
val_evaluator = [dict(type='CaptionPoseMetric', codec=codec), dict(type='ZeroBasedMpiiPCKAccuracy')]
test_evaluator = val_evaluator
