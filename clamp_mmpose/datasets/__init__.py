"""Dataset classes that MMPose lacks, and toy data that can be drawn anywhere."""
from .presence_tag_dataset import PresenceTagDataset

__all__ = ['PresenceTagDataset']
