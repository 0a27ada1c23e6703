_base_ = ['./simplebaseline_tiny_1xb16-30e_toyanimals-128x128.py']

# model settings: MMPose's ResNet-18 at half its width, up to stride 16
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
    head=dict(in_channels=128))
