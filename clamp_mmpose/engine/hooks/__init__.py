from .epoch_seed_hook import EpochSeedHook
from .metta_hook import MeTTAHook
from .model_check_hook import ModelCheckHook
from .score_map_visualization_hook import ScoreMapVisualizationHook

__all__ = ['EpochSeedHook', 'MeTTAHook', 'ModelCheckHook', 'ScoreMapVisualizationHook']
