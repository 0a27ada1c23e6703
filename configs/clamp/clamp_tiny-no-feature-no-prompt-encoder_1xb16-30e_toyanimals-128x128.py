_base_ = ['./clamp_tiny_1xb16-30e_toyanimals-128x128.py']

# model settings: of the two contrastive losses the spatial one, and no prompt encoder (Table 6)
model = dict(neck=dict(prompt_encoder=None), head=dict(feature_loss=None))
