_base_ = ['./lofr_tiny_1xb16-30e_toypeople-128x128.py']

# model settings: SPE alone
model = dict(head=dict(scales=(8, ), reppg=None, diversity_loss=None))
