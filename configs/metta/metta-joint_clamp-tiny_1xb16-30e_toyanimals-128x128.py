_base_ = ['../clamp/clamp_tiny_1xb16-30e_toyanimals-128x128.py']

# CLAMP with MeTTA's auxiliary task on top, on generated animals; make their data with
#   clamp-mmpose make-toy-data data/toyanimals
model = dict(
    type='MeTTAPoseEstimator',
    stage='joint',
    auxiliary_weight=1e-3,  # ours: on toy people, 0.01 kept the block from learning the pose
    head=dict(
        type='CLAMPMeTTAHead',
        conv_out_channels=(64, 64),  # the adaptable block; 256 at full size
        inpainting=dict(base_channels=8)))  # 32 in the supplement
