_base_ = ['./denseclip_tiny_1xb16-30e_toyanimals-128x128.py']

# model settings: the same backbone, recipe and head with nothing of language
model = dict(
    neck=None,
    head=dict(
        _delete_=True,
        type='HeatmapHead',
        in_channels=256,
        out_channels=len(_base_.keypoint_names),
        deconv_out_channels=(64, 64),
        deconv_kernel_sizes=(4, 4),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=_base_.codec))
