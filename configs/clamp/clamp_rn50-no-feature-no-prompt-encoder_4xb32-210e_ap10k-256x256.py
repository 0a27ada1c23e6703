_base_ = ['./clamp_rn50_4xb32-210e_ap10k-256x256.py']

# model settings: of the two contrastive losses the spatial one, and no prompt encoder (Table 6)
model = dict(neck=dict(prompt_encoder=None), head=dict(feature_loss=None))
