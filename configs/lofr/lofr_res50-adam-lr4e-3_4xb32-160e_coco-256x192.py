_base_ = ['./lofr_res50_4xb32-160e_coco-256x192.py']

# optimizer: the rate of Sec. 4.2, 4e-4 for the transformer, and no clipping
optim_wrapper = dict(optimizer=dict(lr=4e-3), clip_grad=None)
