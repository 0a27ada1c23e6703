_base_ = ['./metta-joint_tiny_1xb16-10e_toypeople-128x128.py']

# The meta stage after the joint one.
load_from = 'work_dirs/metta-joint_tiny_1xb16-10e_toypeople-128x128/epoch_10.pth'

train_cfg = dict(max_epochs=2, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(custom_keys=dict(inpainting=dict(lr_mult=2.0))))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True, begin=0, end=2, T_max=2)]
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(checkpoint=dict(interval=1), metta=dict(type='MeTTAHook', steps=5))  # accuracy after each step

model = dict(
    stage='meta',
    inner_loop=dict(steps=5, lr=500.0, max_norm=1e-4),
    test_cfg=dict(adaptation=dict(steps=5)))  # as the hook, for the inferencer

# Images that the joint stage has fitted need no adaptation and teach none: most get another look.
train_pipeline = [
    *_base_.train_pipeline[:-2],
    dict(type='RandomApply', prob=0.7, transforms=[
        dict(type='PhotometricDistortion', brightness_delta=80, contrast_range=(0.3, 1.7))]),
    *_base_.train_pipeline[-2:]
]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))  # each image is a task of its own
