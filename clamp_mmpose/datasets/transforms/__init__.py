from .model_flip_indices import ModelFlipIndices
from .whole_image_affine import WholeImageAffine

__all__ = ['ModelFlipIndices', 'WholeImageAffine']
