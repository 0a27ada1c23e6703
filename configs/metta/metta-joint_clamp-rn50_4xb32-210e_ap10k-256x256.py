_base_ = ['../clamp/clamp_rn50_4xb32-210e_ap10k-256x256.py']

# CLAMP with MeTTA's auxiliary task on top: the joint stage has CLAMP's recipe and losses. Ours; no paper has it.
model = dict(
    type='MeTTAPoseEstimator',
    stage='joint',
    auxiliary_weight=1e-3,  # ours: with 0.01 a block from scratch paints and learns no pose
    head=dict(type='CLAMPMeTTAHead'))
