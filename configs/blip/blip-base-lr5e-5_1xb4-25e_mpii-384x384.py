_base_ = ['blip-base_1xb4-25e_mpii-384x384.py']

# the rate that the search starts from, Sec. 2.3
optim_wrapper = dict(optimizer=dict(lr=5e-5))
