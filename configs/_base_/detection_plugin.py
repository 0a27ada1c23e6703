# what a config of MMDetection adds to be one of ours: the plugin's parts, and MMEngine's safe loading of checkpoints
custom_imports = dict(imports=['clamp_mmpose'], allow_failed_imports=False)

custom_hooks = [
    dict(type='mmpose.EpochSeedHook'),  # random state from (seed, epoch): a resumed training repeats the losses
    dict(type='mmpose.ModelCheckHook'),  # names and checkpoints that do not fit are an error, not a warning
]
