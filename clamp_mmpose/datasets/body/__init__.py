from .checked_body_datasets import CheckedCocoDataset

__all__ = ['CheckedCocoDataset']
