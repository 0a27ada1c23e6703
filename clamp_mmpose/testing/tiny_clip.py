"""CLIP architectures that build in milliseconds: the dicts that ``arch`` takes in place of open_clip's names."""
from __future__ import annotations

from copy import deepcopy

# Towers with the same embed_dim fit together. Maps of 32, 64, 128 and 256 channels; 4 heads in the attention pool.
TINY_RESNET = dict(embed_dim=32, quick_gelu=True, layers=[1, 1, 1, 1], width=8, head_width=64, image_size=64)
TINY_VIT = dict(
    embed_dim=32, quick_gelu=True, layers=3, width=32, head_width=16, patch_size=16, image_size=64)
# The vocabulary is CLIP's own, so that any name can be a prompt.
TINY_TEXT = dict(embed_dim=32, quick_gelu=True, layers=2, width=32, heads=2)

_TINY_WIDTHS = {
    'resnet': dict(width=8, head_width=64),
    'vit': dict(width=32, head_width=16),
    'text': dict(width=32, heads=2),
}


def shrink_architecture(arch: str, part: str) -> tuple[dict, int]:
    """The ``part`` ('vision' or 'text') of open_clip's model ``arch`` with its depth, patches and options, but 8 to 32
    channels wide and with an embedding of 32.

    Returns the dict, and how many channels the last map of the full image tower has (0 for text).
    """
    import open_clip
    config = open_clip.get_model_config(arch)
    tower = deepcopy(config[f'{part}_cfg'])
    if part == 'text':
        kind, channels = 'text', 0
    elif isinstance(tower['layers'], list):
        kind, channels = 'resnet', 32 * tower['width']
    else:
        kind, channels = 'vit', tower['width']
    return dict(embed_dim=32, quick_gelu=config.get('quick_gelu', False)) | tower | _TINY_WIDTHS[kind], channels
