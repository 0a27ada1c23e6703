_base_ = ['./lofr_tiny_1xb16-30e_toypeople-128x128.py']

# Learns from a table that says which keypoints a window shows, 16 windows on each person. It has no coordinates.

# runtime
train_cfg = dict(max_epochs=6, val_interval=2)

# learning policy
param_scheduler = [
    dict(type='LinearLR', begin=0, end=100, start_factor=0.01, by_epoch=False),  # warm-up
    dict(type='CosineAnnealingLR', begin=0, end=6, T_max=6, eta_min=2e-5, by_epoch=True, convert_to_iter_based=True)
]

# pipelines: inputs show the box and no more, those to test on too, in which parts would be smaller than any learned from
load, box = dict(type='LoadImage'), dict(type='GetBBoxCenterScale', padding=1.0)
crop = dict(type='TopdownAffine', input_size=_base_.codec['input_size'])
flip = dict(type='RandomFlip', direction='horizontal')
train_pipeline = [load, dict(type='GeneratePresence'), box, flip, crop, dict(type='PackPresenceInputs', windows=8)]
val_pipeline = [load, box, crop, dict(type='PackPoseInputs')]

# data loaders: a sample is a window and what is said of 4 or more windows in it
metainfo = dict(from_file='configs/_base_/datasets/coco.py')
train_dataset = dict(
    _delete_=True, type='PresenceTagDataset', metainfo=metainfo, data_root=_base_.data_root, windows=4,
    ann_file='annotations/window_tags_train.csv', data_prefix=dict(img='data/'), pipeline=train_pipeline)
train_dataloader = dict(dataset=train_dataset)
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
