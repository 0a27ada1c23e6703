_base_ = ['./clamp_rn50_4xb32-210e_ap10k-256x256.py']

# model settings: both contrastive losses, and no prompt encoder (Table 6)
model = dict(neck=dict(prompt_encoder=None))
