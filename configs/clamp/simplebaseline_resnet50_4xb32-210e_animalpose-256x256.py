_base_ = ['./simplebaseline_clip-rn50_4xb32-210e_animalpose-256x256.py']

# model settings: MMPose's ResNet-50 with ImageNet's weights, by the recipe of the others
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=50,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')))
