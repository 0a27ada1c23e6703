_base_ = ['./metta-joint_hrnet-w32_1xb32-140e_mpii-256x256.py']

# The meta stage after the joint one; its recipe is ours.
load_from = 'work_dirs/metta-joint_hrnet-w32_1xb32-140e_mpii-256x256/epoch_140.pth'

train_cfg = dict(max_epochs=20, val_interval=5)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [dict(type='CosineAnnealingLR', begin=0, end=20, T_max=20, eta_min=1e-6, by_epoch=True)]
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(metta=dict(type='MeTTAHook', steps=5))  # tells the accuracy after each step

model = dict(
    stage='meta',
    backbone=dict(init_cfg=None),  # the checkpoint brings its weights
    inner_loop=dict(steps=5, lr=500.0, max_norm=1e-4),
    test_cfg=dict(adaptation=dict(steps=5)))  # as the hook, for the inferencer

# Images as the joint stage has fitted them need no adaptation and teach none: most get another look.
train_pipeline = [
    *_base_.train_pipeline[:-2],
    dict(type='RandomApply', prob=0.7, transforms=[
        dict(type='PhotometricDistortion', brightness_delta=80, contrast_range=(0.3, 1.7))]),
    *_base_.train_pipeline[-2:]
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))  # each image is a task of its own
