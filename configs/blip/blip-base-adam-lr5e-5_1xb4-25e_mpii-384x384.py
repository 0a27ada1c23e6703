_base_ = ['blip-base-lr5e-5_1xb4-25e_mpii-384x384.py']

# optimizers are compared at this rate, Sec. 3.2
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=5e-5, betas=(0.9, 0.999)))
