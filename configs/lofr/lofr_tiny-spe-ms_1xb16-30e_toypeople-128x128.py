_base_ = ['./lofr_tiny_1xb16-30e_toypeople-128x128.py']

# model settings: SPE and MS alone
model = dict(head=dict(reppg=None, diversity_loss=None))
