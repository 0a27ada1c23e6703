_base_ = ['./clamp_tiny_1xb16-30e_toyanimals-128x128.py']

# model settings: both contrastive losses, and no prompt encoder (Table 6)
model = dict(neck=dict(prompt_encoder=None))
