_base_ = ['./metta-joint_clamp-tiny_1xb16-30e_toyanimals-128x128.py']

# The meta stage after the joint one.
load_from = 'work_dirs/metta-joint_clamp-tiny_1xb16-30e_toyanimals-128x128/epoch_30.pth'

train_cfg = dict(max_epochs=10, val_interval=5)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [dict(type='CosineAnnealingLR', begin=0, end=10, T_max=10, eta_min=1e-6, by_epoch=True)]
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(
    checkpoint=dict(interval=5), metta=dict(type='MeTTAHook', steps=5))  # tells the accuracy after each step

model = dict(
    stage='meta',
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
