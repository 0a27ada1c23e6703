"""Reading weights: MMEngine's checkpoints, safely, CLIP's in the formats they are published in, and the authors'."""
from .clip_pretrained import CLIPPretrained
from .safe_loading import CheckpointError, UnsafeCheckpointError, register_safe_loading, safe_load

__all__ = ['CLIPPretrained', 'CheckpointError', 'UnsafeCheckpointError', 'register_safe_loading', 'safe_load']
