_base_ = ['./clip_rn50-mask-rcnn_8xb2-12e_coco-det.py']

# model settings
model = dict(backbone=dict(arch='RN101-quickgelu'))
