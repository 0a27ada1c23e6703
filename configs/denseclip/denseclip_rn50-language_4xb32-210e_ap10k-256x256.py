_base_ = ['./denseclip_rn50_4xb32-210e_ap10k-256x256.py']

# model settings
model = dict(neck=dict(prompting='language'))  # Table 2: learnable contexts alone
