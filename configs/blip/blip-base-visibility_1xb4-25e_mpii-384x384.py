_base_ = ['blip-base_1xb4-25e_mpii-384x384.py']

default_hooks = dict(checkpoint=dict(save_best='caption/visibility', rule='greater'))

# codec settings: 1 for a joint that is marked visible, 0 for one that is hidden; no coordinates
codec = dict(_base_.codec, style='visibility_text')
model = dict(codec=codec)

# pipelines
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='WholeImageAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs')
]

# data loaders; the marks are in files made from MPII's own .mat
train_dataloader = dict(dataset=dict(use_marks=True, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(use_marks=True))
test_dataloader = val_dataloader

# evaluators
val_evaluator = [dict(type='CaptionPoseMetric', codec=codec)]
test_evaluator = val_evaluator
