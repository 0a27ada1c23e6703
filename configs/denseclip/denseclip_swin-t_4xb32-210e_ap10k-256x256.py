_base_ = ['./denseclip_resnet50_4xb32-210e_ap10k-256x256.py']
num_keypoints = len(_base_.keypoint_names)

# model settings
model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformer',
        embed_dims=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        drop_path_rate=0.2,
        out_indices=(3, ),
        convert_weights=True,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
            'swin_tiny_patch4_window7_224.pth')),
    neck=dict(embedding=dict(in_channels=768)),
    head=dict(head=dict(in_channels=768 + num_keypoints)))
