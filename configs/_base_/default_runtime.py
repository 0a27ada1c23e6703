_base_ = ['mmpose::_base_/default_runtime.py']

# registers the plugin's parts, and lets MMEngine load checkpoints safely
custom_imports = dict(imports=['clamp_mmpose'], allow_failed_imports=False)

# random state from (seed, epoch): an interrupted training resumes to the same losses
custom_hooks = [dict(type='SyncBuffersHook'), dict(type='EpochSeedHook')]
