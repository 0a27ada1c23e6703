_base_ = ['./lofr_tiny_1xb16-30e_toypeople-128x128.py']

# model settings: without the modules of Table 5; local_matching stays, which the paper's baseline does not have
model = dict(head=dict(scales=(8, ), spe=None, reppg=None, diversity_loss=None))
