_base_ = ['./denseclip_rn50_4xb32-210e_ap10k-256x256.py']

# model settings: a backbone that knows no language, so the neck learns an image embedding (Sec. 4.3)
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),  # ImageNet's statistics
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=50,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    neck=dict(
        embedding=dict(type='DenseAttentionPool', in_channels=2048, input_size=_base_.codec.input_size)))
