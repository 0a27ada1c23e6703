_base_ = ['./clamp_tiny_1xb16-30e_toyanimals-128x128.py']

# model settings: without the feature loss (not in the paper)
model = dict(head=dict(feature_loss=None))
