from .epoch_seed_hook import EpochSeedHook
from .model_check_hook import ModelCheckHook

__all__ = ['EpochSeedHook', 'ModelCheckHook']
