_base_ = ['../_base_/detection_plugin.py', 'mmdet::_base_/default_runtime.py']

# A detector of named animals from scratch, for a CPU and some minutes; make its data with
#   clamp-mmpose make-toy-data data/toyanimals

# the animals that are drawn, by their names in AP-10K
class_names = [
    'antelope', 'cow', 'sheep', 'dog', 'fox', 'wolf', 'deer', 'hamster', 'elephant', 'horse', 'zebra', 'cat',
    'leopard', 'lion', 'tiger', 'giraffe', 'rabbit', 'raccoon', 'rhino', 'pig', 'brown bear', 'panda'
]
num_classes = len(class_names)

# runtime
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=24, val_interval=8)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
randomness = dict(seed=0)

# optimizer
optim_wrapper = dict(
    type='OptimWrapper',
    # the first gradients are large: with 0.999 they would slow the rest of so short a training
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05),
    clip_grad=dict(max_norm=10.0),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0))

# learning policy
param_scheduler = [
    dict(type='LinearLR', begin=0, end=100, start_factor=0.01, by_epoch=False),  # warm-up
    dict(type='CosineAnnealingLR', begin=0, end=24, T_max=24, eta_min=1e-5, by_epoch=True, convert_to_iter_based=True)
]

# automatically scaling LR based on the actual training batch size
auto_scale_lr = dict(base_batch_size=8)

# hooks
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(interval=8, max_keep_ckpts=1, save_best='coco/bbox_mAP', rule='greater'))

# model settings
norm_cfg = dict(type='GN', num_groups=8)
model = dict(
    type='RetinaNet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    # MMDetection's own ResNet-18, a quarter as wide: the neck learns the image embedding that it lacks
    backbone=dict(type='ResNet', depth=18, base_channels=16, norm_eval=False),
    neck=dict(
        type='mmpose.DenseCLIPNeck',
        names=class_names,
        text_encoder=dict(
            type='CLIPTextEncoder', arch=dict(embed_dim=64, width=64, heads=2, layers=2), context_length=13),
        context_decoder=dict(width=64, num_layers=1),
        embedding=dict(type='DenseProjection', in_channels=128),
        tau=0.07,
        next_neck=dict(
            type='FPN',
            in_channels=[16, 32, 64, 128 + num_classes],
            out_channels=64,
            start_level=2,  # the animals are large: strides 16, 32 and 64
            add_extra_convs='on_output',
            norm_cfg=norm_cfg,
            num_outs=3)),
    bbox_head=dict(
        type='mmpose.WithAuxiliaryLoss',
        losses=[dict(type='BoxScoreLoss', stride=16, loss_weight=0.5)],
        head=dict(
            type='RetinaHead',
            num_classes=num_classes,
            in_channels=64,
            stacked_convs=2,
            feat_channels=64,
            norm_cfg=norm_cfg,
            anchor_generator=dict(
                type='AnchorGenerator',
                octave_base_scale=4,
                scales_per_octave=2,
                ratios=[0.5, 1.0, 2.0],
                strides=[16, 32, 64]),
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder', target_means=[0.0, 0.0, 0.0, 0.0], target_stds=[1.0, 1.0, 1.0, 1.0]),
            reg_decoded_bbox=True,
            loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
            loss_bbox=dict(type='GIoULoss', loss_weight=2.0))),
    train_cfg=dict(
        assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1),
        sampler=dict(type='PseudoSampler'),  # the focal loss takes every anchor
        allowed_border=-1,
        pos_weight=-1,
        debug=False),
    test_cfg=dict(
        nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=20))

# base dataset settings
dataset_type = 'CocoDataset'
data_root = 'data/toyanimals/'
metainfo = dict(classes=class_names)

# pipelines
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomResize', scale=(256, 256), ratio_range=(0.8, 1.2), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(256, 256)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(256, 256), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]

# data loaders
train_dataloader = dict(
    batch_size=8,
    num_workers=0,  # two cores have enough to do with the model
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/ap10k-train-split1.json',
        data_prefix=dict(img='data/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/ap10k-val-split1.json',
        data_prefix=dict(img='data/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(
    type='CocoMetric', ann_file=data_root + 'annotations/ap10k-val-split1.json', metric='bbox', format_only=False)
test_evaluator = val_evaluator
