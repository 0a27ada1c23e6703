_base_ = ['../clamp/clamp_tiny_1xb16-30e_toyanimals-128x128.py']
num_keypoints = len(_base_.keypoint_names)

# model settings: the toy CLAMP's backbone and recipe with DenseCLIP's neck and MMPose's own head
model = dict(
    neck=dict(
        _delete_=True,
        type='DenseCLIPNeck',
        names=_base_.keypoint_names,
        text_encoder=dict(
            type='CLIPTextEncoder', arch=dict(embed_dim=64, width=64, heads=2, layers=2), context_length=13),
        context_decoder=dict(width=64, num_layers=1),
        embedding=dict(type='DenseProjection', in_channels=256)),
    head=dict(
        _delete_=True,
        type='WithAuxiliaryLoss',
        head=dict(
            type='HeatmapHead',
            in_channels=256 + num_keypoints,
            out_channels=num_keypoints,
            deconv_out_channels=(64, 64),  # from stride 16 to stride 4
            deconv_kernel_sizes=(4, 4),
            loss=dict(type='KeypointMSELoss', use_target_weight=True),
            decoder=_base_.codec),
        losses=[dict(type='ScoreMapBCELoss', tau=0.07)]))
