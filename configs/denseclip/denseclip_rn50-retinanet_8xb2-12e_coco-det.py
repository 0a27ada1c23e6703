_base_ = [
    '../_base_/detection_plugin.py', '../_base_/class_names/coco_classes.py',
    'mmdet::_base_/models/retinanet_r50_fpn.py', 'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_1x.py', 'mmdet::_base_/default_runtime.py'
]
num_classes = len(_base_.class_names)

# runtime: batch norm is trained, over all GPUs as released
sync_bn = 'torch'

# optimizer; the text tower is frozen by itself
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),  # the first losses are very large, Sec. 4.2
    paramwise_cfg=dict(custom_keys={
        # as released: what has 'norm' in its name, so CLIP's bn weights are decayed
        'norm': dict(decay_mult=0.0),
        # CLIP's image tower: a tenth of the rate, Sec. 4.1
        'backbone': dict(lr_mult=0.1),
    }))

# model settings
arch = 'RN50-quickgelu'
clip_weights = dict(type='CLIPPretrained', checkpoint='openai')
model = dict(
    data_preprocessor=dict(
        # CLIP's statistics
        mean=[122.7709383, 116.7460125, 104.09373615],
        std=[68.5005327, 66.6321579, 70.32316305]),
    backbone=dict(
        _delete_=True,
        type='mmpose.CLIPResNet',
        arch=arch,
        input_size=(1344, 1344),  # as released: any picture of at most 1333 pixels
        init_cfg=clip_weights),
    neck=dict(
        _delete_=True,
        type='mmpose.DenseCLIPNeck',
        names=_base_.class_names,
        # 13 tokens: start, 8 learnable, up to 3 of the name, end
        text_encoder=dict(type='CLIPTextEncoder', arch=arch, context_length=13, init_cfg=clip_weights),
        prompting='post',
        tau=0.07,  # as released, in detectors only: the maps that are appended are divided by it too
        next_neck=dict(_base_.model.neck, in_channels=[256, 512, 1024, 2048 + num_classes])),
    bbox_head=dict(
        _delete_=True,
        type='mmpose.WithAuxiliaryLoss',
        losses=[dict(type='BoxScoreLoss')],
        head=dict(_base_.model.bbox_head, num_classes=num_classes)))

# data loaders
train_dataloader = dict(
    persistent_workers=False,  # workers start anew with the epoch's seed
    worker_init_fn=dict(type='epoch_worker_init'))
