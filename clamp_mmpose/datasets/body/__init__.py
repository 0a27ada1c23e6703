from .checked_body_datasets import CheckedCocoDataset
from .checked_mpii_dataset import CheckedMpiiDataset

__all__ = ['CheckedCocoDataset', 'CheckedMpiiDataset']
