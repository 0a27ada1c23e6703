_base_ = ['./denseclip_tiny_1xb16-30e_toyanimals-128x128.py']
num_keypoints = len(_base_.keypoint_names)

# model settings: MMPose's ResNet-18 at half its width, up to stride 16; any backbone will do (Sec. 4.3)
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        stem_channels=32,
        base_channels=32,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2, )),
    neck=dict(embedding=dict(in_channels=128)),
    head=dict(head=dict(in_channels=128 + num_keypoints)))
