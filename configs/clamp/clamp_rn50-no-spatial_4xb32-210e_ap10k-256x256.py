_base_ = ['./clamp_rn50_4xb32-210e_ap10k-256x256.py']

# model settings: without the spatial loss (not in the paper)
model = dict(head=dict(spatial_loss=None))
