_base_ = ['./clamp_rn50_4xb32-210e_ap10k-256x256.py']
num_keypoints = len(_base_.keypoint_names)

# optimizer
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(
        _delete_=True,
        norm=dict(decay_mult=0.0),
        backbone=dict(lr_mult=0.1))))  # CLIP's image tower: a tenth of the rate, Sec. 4.1

# model settings
arch = 'ViT-B-16-quickgelu'
model = dict(
    backbone=dict(type='CLIPVisionTransformer', arch=arch, drop_path_rate=0.4),
    neck=dict(text_encoder=dict(arch=arch)),
    head=dict(
        in_channels=768 + num_keypoints,
        deconv_out_channels=(256, 256),  # from stride 16 to stride 4
        deconv_kernel_sizes=(4, 4),
        spatial_loss=dict(loss_weight=2.0),
        score_head=dict(deconv_out_channels=(num_keypoints, num_keypoints))))
