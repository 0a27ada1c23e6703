"""Small architectures, model configs and packed samples, for our tests and those of projects on top."""
from .packed_samples import pack_batch
from .random_weights import calibrate_norms, randomize
from .tiny_blip import save_blip_folder, tiny_blip_model
from .tiny_clip import TINY_RESNET, TINY_TEXT, TINY_VIT, shrink_architecture
from .tiny_configs import shrink_model, tiny_clamp_model
from .tiny_detectors import shrink_detector
from .tiny_lofr import tiny_lofr_model
from .tiny_metta import tiny_metta_model

__all__ = [
    'TINY_RESNET', 'TINY_TEXT', 'TINY_VIT', 'calibrate_norms', 'pack_batch', 'randomize', 'save_blip_folder',
    'shrink_architecture', 'shrink_detector', 'shrink_model', 'tiny_blip_model', 'tiny_clamp_model', 'tiny_lofr_model',
    'tiny_metta_model'
]
