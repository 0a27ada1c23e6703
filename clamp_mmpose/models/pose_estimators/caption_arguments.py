"""What the arguments of :class:`BLIPCaptionPoseEstimator` may be."""
from __future__ import annotations

import inspect
from collections.abc import Mapping

from torch import nn

DECODINGS = ('constrained', 'greedy', 'beam')


def check_image_size(blip: nn.Module, input_size: tuple[int, int]) -> None:
    vision = blip.config.vision_config
    if any(side % vision.patch_size for side in input_size):
        raise ValueError(f'input_size={tuple(input_size)} of the codec must be multiples of the patch size, '
                         f'{vision.patch_size}')
    other = tuple(input_size) != (vision.image_size, vision.image_size)
    if other and 'interpolate_pos_encoding' not in inspect.signature(blip.vision_model.forward).parameters:
        raise ValueError(f'input_size={tuple(input_size)} of the codec is not the {vision.image_size}x'
                         f'{vision.image_size} of BLIP, and this transformers cannot interpolate its positions: '
                         "pip install 'transformers>=4.45'")


def check_arguments(backbone: dict | None, init_cfg: dict | None, digit_weight: float, label_smoothing: float,
                    patch_loss_weight: float, test_cfg: Mapping) -> None:
    if backbone:
        raise ValueError(f'backbone={backbone} must be empty; the image tower is that of BLIP')
    if init_cfg and init_cfg.get('type') not in ('Pretrained', 'SpatialPrior'):
        raise ValueError(f"init_cfg={init_cfg} must be of type 'Pretrained' or 'SpatialPrior'; BLIP initialises itself")
    if digit_weight <= 0:
        raise ValueError(f'digit_weight={digit_weight} must be more than 0')
    if patch_loss_weight < 0:
        raise ValueError(f'patch_loss_weight={patch_loss_weight} must be 0 or more')
    if not 0 <= label_smoothing < 1:
        raise ValueError(f'label_smoothing={label_smoothing} must be in [0, 1)')
    check_test_cfg(test_cfg)


def check_test_cfg(test_cfg: Mapping) -> None:
    if test_cfg.get('flip_test'):
        raise ValueError('flip_test=True of test_cfg: the captions of an image and its mirror image cannot be averaged '
                         'as heatmaps are; leave it out')
    decoding = test_cfg.get('decoding', 'constrained')
    if decoding not in DECODINGS:
        raise ValueError(f'decoding={decoding!r} of test_cfg must be one of {DECODINGS}')
