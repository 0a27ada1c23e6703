_base_ = ['../clamp/clamp_rn50_4xb32-210e_ap10k-256x256.py']

# CLAMP with MeTTA's auxiliary task on top: the joint stage has CLAMP's recipe and losses. Ours; no paper has it.
model = dict(
    type='MeTTAPoseEstimator',
    stage='joint',
    auxiliary_weight=1e-3,  # ours: on toy people, 0.01 kept the block from learning the pose
    head=dict(type='CLAMPMeTTAHead'))
