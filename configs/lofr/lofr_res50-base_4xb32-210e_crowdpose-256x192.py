_base_ = ['./lofr_res50_4xb32-210e_crowdpose-256x192.py']

# model settings: the transformer baseline, on the same labels
model = dict(head=dict(scales=(4, ), spe=None, reppg=None, diversity_loss=None))
