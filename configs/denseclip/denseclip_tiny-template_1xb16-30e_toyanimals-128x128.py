_base_ = ['./denseclip_tiny_1xb16-30e_toyanimals-128x128.py']

# model settings
model = dict(neck=dict(prompting='template'))
