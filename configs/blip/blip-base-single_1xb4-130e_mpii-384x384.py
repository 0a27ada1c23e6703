_base_ = ['blip-base_1xb4-25e_mpii-384x384.py']

# Sec. 3.1: the neck alone, as "neck: (100, 200)"
train_cfg = dict(max_epochs=130, val_interval=5)
optim_wrapper = dict(optimizer=dict(lr=5e-5))
param_scheduler = [dict(type='ConstantLR', factor=1.0, begin=0, end=130, by_epoch=True)]
default_hooks = dict(checkpoint=dict(interval=65, save_begin=0))

# codec settings
codec = dict(_base_.codec, style='single', names=None)  # MPII's, with "neck" in place of "upper_neck"
model = dict(codec=codec)

# pipelines
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='WholeImageAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# evaluators
val_evaluator = [dict(type='CaptionPoseMetric', codec=codec)]
test_evaluator = val_evaluator
