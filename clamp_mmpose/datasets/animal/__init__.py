from .checked_animal_datasets import CheckedAnimalPoseDataset, CheckedAP10KDataset

__all__ = ['CheckedAP10KDataset', 'CheckedAnimalPoseDataset']
