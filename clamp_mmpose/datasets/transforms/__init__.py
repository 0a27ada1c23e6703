from .model_flip_indices import ModelFlipIndices

__all__ = ['ModelFlipIndices']
