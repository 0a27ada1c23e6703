_base_ = ['blip-base-lr5e-5_1xb4-25e_mpii-384x384.py']

# batches are compared at this rate, Fig. 5
train_dataloader = dict(batch_size=1)
auto_scale_lr = dict(base_batch_size=1)
