_base_ = ['./lofr_tiny_1xb16-30e_toypeople-128x128.py']
keypoint_names = [  # MPII's 16 of the same people
    'right ankle', 'right knee', 'right hip', 'left hip', 'left knee', 'left ankle', 'pelvis', 'thorax', 'upper neck',
    'head top', 'right wrist', 'right elbow', 'right shoulder', 'left shoulder', 'left elbow', 'left wrist'
]

# model settings
model = dict(head=dict(out_channels=len(keypoint_names), metainfo='configs/_base_/datasets/mpii.py'))

# data loaders
dataset_type = 'CheckedMpiiDataset'  # MMPose's MpiiDataset, with pixels counted from 0
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=_base_.data_root,
        data_mode=_base_.data_mode,
        ann_file='annotations/mpii_train.json',
        data_prefix=dict(img='data/'),
        pipeline=_base_.train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type, ann_file='annotations/mpii_val.json',
        headbox_file=_base_.data_root + 'annotations/mpii_gt_val.mat'))
test_dataloader = val_dataloader

# evaluators
val_evaluator = dict(_delete_=True, type='ZeroBasedMpiiPCKAccuracy')
test_evaluator = dict(_delete_=True, type='ZeroBasedMpiiPCKAccuracy')
