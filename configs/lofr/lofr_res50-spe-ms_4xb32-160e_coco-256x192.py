_base_ = ['./lofr_res50_4xb32-160e_coco-256x192.py']

# model settings: SPE and MS alone
model = dict(head=dict(reppg=None, diversity_loss=None))
