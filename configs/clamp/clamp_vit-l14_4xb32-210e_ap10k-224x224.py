_base_ = ['./clamp_vit-b16_4xb32-210e_ap10k-256x256.py']
num_keypoints = len(_base_.keypoint_names)

# codec settings: a 16x16 grid of 14-pixel patches, so the heatmap is 64x64 and its stride 3.5, as released
codec = dict(type='MSRAHeatmap', input_size=(224, 224), heatmap_size=(64, 64), sigma=2)

# model settings
arch = 'ViT-L-14-quickgelu'
model = dict(
    backbone=dict(arch=arch, input_size=codec['input_size']),
    neck=dict(text_encoder=dict(arch=arch)),
    head=dict(in_channels=1024 + num_keypoints, spatial_loss=dict(loss_weight=1.0), decoder=codec))

# pipelines
_base_.train_pipeline[5].input_size = codec['input_size']
_base_.train_pipeline[6].encoder = codec
_base_.val_pipeline[2].input_size = codec['input_size']
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
