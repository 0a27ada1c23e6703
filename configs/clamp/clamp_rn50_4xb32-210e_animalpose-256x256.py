_base_ = ['./clamp_vit-b16_4xb32-210e_animalpose-256x256.py']
num_keypoints = len(_base_.keypoint_names)

# optimizer: as on AP-10K, the backbone at the full rate
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(_delete_=True, norm=dict(decay_mult=0.0), bias=dict(decay_mult=0.0))))

# model settings
arch = 'RN50-quickgelu'
model = dict(
    backbone=dict(
        _delete_=True,
        type='CLIPResNet',
        arch=arch,
        input_size=_base_.codec['input_size'],
        init_cfg=_base_.clip_weights),
    neck=dict(text_encoder=dict(arch=arch)),
    head=dict(
        in_channels=2048 + num_keypoints,
        deconv_out_channels=(256, 256, 256),  # from stride 32 to stride 4
        deconv_kernel_sizes=(4, 4, 4),
        spatial_loss=dict(loss_weight=0.4),
        score_head=dict(deconv_out_channels=(256, 256, 256))))
