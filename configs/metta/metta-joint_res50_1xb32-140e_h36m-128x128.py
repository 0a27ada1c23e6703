_base_ = ['./metta-joint_res50_1xb32-140e_pennaction-128x128.py']

# Human3.6M in 2D, as MMPose's preprocess_h36m.py and h36m_to_coco.py prepare it: subjects 9 and 11 are the test.
num_keypoints = 17
model = dict(head=dict(out_channels=num_keypoints))

# The boxes are not Penn Action's, which TTP moves.
train_pipeline = [step for step in _base_.train_pipeline if step['type'] != 'ShiftBBoxCenter']
val_pipeline = [step for step in _base_.val_pipeline if step['type'] != 'ShiftBBoxCenter']

dataset_type = 'CheckedCocoDataset'  # the format; the keypoints are those of metainfo
data_root = 'data/h36m/'
people = dict(
    _delete_=True,
    type=dataset_type,
    data_root=data_root,
    data_mode='topdown',
    metainfo=dict(from_file='configs/_base_/datasets/h36m.py'),  # MMPose's
    data_prefix=dict(img='images/'))
train_dataloader = dict(dataset=dict(
    people, ann_file='annotation_body2d/h36m_coco_train.json', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(
    people, ann_file='annotation_body2d/h36m_coco_test.json', test_mode=True, pipeline=val_pipeline))
test_dataloader = val_dataloader
