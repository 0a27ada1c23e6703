from .model_flip_indices import ModelFlipIndices
from .shift_bbox_center import ShiftBBoxCenter
from .whole_image_affine import WholeImageAffine

__all__ = ['ModelFlipIndices', 'ShiftBBoxCenter', 'WholeImageAffine']
