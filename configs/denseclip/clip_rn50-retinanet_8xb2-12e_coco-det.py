_base_ = ['./denseclip_rn50-retinanet_8xb2-12e_coco-det.py']

# model settings: DenseCLIP's backbone and recipe with nothing of language
model = dict(
    backbone=dict(with_embedding=False),
    neck=dict(_delete_=True, **dict(_base_.model.neck.next_neck, in_channels=[256, 512, 1024, 2048])),
    bbox_head=dict(_delete_=True, **_base_.model.bbox_head.head))
