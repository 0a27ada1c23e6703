_base_ = ['./lofr_res50_4xb32-160e_coco-256x192.py']

# model settings: MS alone
model = dict(head=dict(spe=None, reppg=None, diversity_loss=None))
