_base_ = ['blip-base-lr5e-5_1xb4-25e_mpii-384x384.py']

# no momentum is given; it does not converge, Fig. 6
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=5e-5))
