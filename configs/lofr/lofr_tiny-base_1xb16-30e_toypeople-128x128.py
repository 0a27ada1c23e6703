_base_ = ['./lofr_tiny_1xb16-30e_toypeople-128x128.py']

# model settings: the transformer baseline, on the same labels
model = dict(head=dict(scales=(8, ), spe=None, reppg=None, diversity_loss=None))
