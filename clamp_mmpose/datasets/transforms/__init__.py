from .generate_presence import GeneratePresence
from .model_flip_indices import ModelFlipIndices
from .pack_presence_inputs import PackPresenceInputs
from .shift_bbox_center import ShiftBBoxCenter
from .whole_image_affine import WholeImageAffine

__all__ = ['GeneratePresence', 'ModelFlipIndices', 'PackPresenceInputs', 'ShiftBBoxCenter', 'WholeImageAffine']
