_base_ = ['./lofr_res50_4xb32-160e_coco-256x192.py']

# model settings: RePPG and PDC alone
model = dict(head=dict(scales=(4, ), spe=None))
