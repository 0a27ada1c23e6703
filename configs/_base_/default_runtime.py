_base_ = ['mmpose::_base_/default_runtime.py']

# registers the plugin's parts, and lets MMEngine load checkpoints safely
custom_imports = dict(imports=['clamp_mmpose'], allow_failed_imports=False)

custom_hooks = [
    dict(type='SyncBuffersHook'),
    dict(type='EpochSeedHook'),  # random state from (seed, epoch): a resumed training repeats the losses
    dict(type='ModelCheckHook'),  # names and checkpoints that do not fit are an error, not a warning
]
