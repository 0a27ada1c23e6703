_base_ = ['./denseclip_rn50_4xb32-210e_ap10k-256x256.py']

# model settings
model = dict(neck=dict(prompting='pre'))  # Table 2: the text tower runs for every image
