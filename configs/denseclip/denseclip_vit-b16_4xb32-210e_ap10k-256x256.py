_base_ = ['./denseclip_rn50_4xb32-210e_ap10k-256x256.py']
num_keypoints = len(_base_.keypoint_names)

# model settings
arch = 'ViT-B-16-quickgelu'
model = dict(
    backbone=dict(type='CLIPVisionTransformer', arch=arch, drop_path_rate=0.1),  # as released
    neck=dict(text_encoder=dict(arch=arch)),
    head=dict(
        head=dict(
            in_channels=768 + num_keypoints,
            deconv_out_channels=(256, 256),  # from stride 16 to stride 4
            deconv_kernel_sizes=(4, 4))))
