from .checked_body_datasets import CheckedCocoDataset
from .checked_mpii_dataset import CheckedMpiiDataset
from .penn_action_dataset import PennActionDataset

__all__ = ['CheckedCocoDataset', 'CheckedMpiiDataset', 'PennActionDataset']
