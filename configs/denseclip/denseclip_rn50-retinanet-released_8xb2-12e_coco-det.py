_base_ = ['./denseclip_rn50-retinanet_8xb2-12e_coco-det.py']

# for the authors' checkpoint, through clamp-mmpose convert
model = dict(backbone=dict(crop_positions=True))
