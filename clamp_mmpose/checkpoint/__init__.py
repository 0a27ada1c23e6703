"""Reading weights: MMEngine's checkpoints, safely, and CLIP's in the formats they are published in."""
from .clip_pretrained import CLIPPretrained
from .safe_loading import CheckpointError, UnsafeCheckpointError, register_safe_loading, safe_load

__all__ = ['CLIPPretrained', 'CheckpointError', 'UnsafeCheckpointError', 'register_safe_loading', 'safe_load']
