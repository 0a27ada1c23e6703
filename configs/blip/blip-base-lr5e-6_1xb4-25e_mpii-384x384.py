_base_ = ['blip-base_1xb4-25e_mpii-384x384.py']

optim_wrapper = dict(optimizer=dict(lr=5e-6))
