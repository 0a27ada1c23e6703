_base_ = ['./denseclip_tiny-resnet18_1xb16-30e_toyanimals-128x128.py']

# model settings: the paper's way to embed a backbone without language, from scratch
model = dict(
    neck=dict(embedding=dict(type='DenseAttentionPool', input_size=_base_.codec.input_size, stride=16)))
