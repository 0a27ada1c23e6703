"""Reading weights: MMEngine's checkpoints, safely, and CLIP's in the formats they are published in."""
from .safe_loading import CheckpointError, UnsafeCheckpointError, register_safe_loading, safe_load

__all__ = ['CheckpointError', 'UnsafeCheckpointError', 'register_safe_loading', 'safe_load']
