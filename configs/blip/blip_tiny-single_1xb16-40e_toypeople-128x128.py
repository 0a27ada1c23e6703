_base_ = ['blip_tiny_1xb16-40e_toypeople-128x128.py']

# codec settings: one joint for itself, as Sec. 3.1
codec = dict(_base_.codec, joints=['head'])
model = dict(codec=codec)

# pipelines
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# evaluators; PCKh needs the whole pose
val_evaluator = [dict(type='CaptionPoseMetric', codec=codec)]
test_evaluator = val_evaluator
