_base_ = ['./denseclip_rn50-mask-rcnn_8xb2-12e_coco-det.py']

# model settings
arch = 'RN101-quickgelu'
model = dict(backbone=dict(arch=arch), neck=dict(text_encoder=dict(arch=arch)))
