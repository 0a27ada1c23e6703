"""MMDetection's detectors with backbones a few channels wide."""
from __future__ import annotations

from copy import deepcopy

from .tiny_clip import shrink_architecture

_RESNET_WIDTH = 64  # of the first stage of MMDetection's ResNets and of CLIP's
_TINY_WIDTH = 8


def shrink_detector(model: dict) -> dict:
    """A copy of a shipped detector's ``model`` whose backbone is 8 channels wide, whose text tower is tiny, and which
    takes no weights.

    CLIP's towers become their :func:`shrink_architecture`, MMDetection's ResNet keeps its depth, and the
    ``in_channels`` of the FPN follow. All behind the FPN stays.
    """
    model = deepcopy(model)
    backbone, neck = model['backbone'], model['neck']
    backbone.pop('init_cfg', None)
    fpn = neck.get('next_neck', neck)
    appended = len(neck.get('names', ()))
    if isinstance(backbone.get('arch'), str):
        backbone['arch'], _ = shrink_architecture(backbone['arch'], 'vision')
    elif 'base_channels' not in backbone:
        backbone['base_channels'] = _TINY_WIDTH
    else:  # narrow as it is
        return model
    *others, last = fpn['in_channels']
    narrower = _RESNET_WIDTH // _TINY_WIDTH
    fpn['in_channels'] = [channels // narrower for channels in others] + [(last - appended) // narrower + appended]
    if 'text_encoder' in neck:
        neck['text_encoder']['arch'], _ = shrink_architecture(neck['text_encoder']['arch'], 'text')
        neck['text_encoder'].pop('init_cfg', None)
    return model
