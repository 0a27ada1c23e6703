_base_ = ['blip-base_1xb4-25e_mpii-384x384.py']

# codec settings: coordinates as shares of the side, with three decimals
codec = dict(_base_.codec, style='normalized_text')
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
val_evaluator = [dict(type='CaptionPoseMetric', codec=codec), dict(type='ZeroBasedMpiiPCKAccuracy')]
test_evaluator = val_evaluator
