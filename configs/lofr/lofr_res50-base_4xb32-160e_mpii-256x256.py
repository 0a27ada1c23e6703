_base_ = ['./lofr_res50_4xb32-160e_mpii-256x256.py']

# model settings: the transformer baseline, on the same labels
model = dict(head=dict(scales=(4, ), spe=None, reppg=None, diversity_loss=None))
