"""Language and adaptation for 2D pose estimation, as parts that register in MMPose.

``import clamp_mmpose`` (or ``custom_imports`` in a config) registers every part and makes MMEngine load checkpoints
safely; it builds nothing.
"""
from . import codecs, datasets, engine, evaluation, models, visualization  # noqa: F401
from .checkpoint import register_safe_loading
from .datasets import animal, body, presence_tag_dataset, transforms  # noqa: F401
from .version import __version__

register_safe_loading()

__all__ = ['__version__']
