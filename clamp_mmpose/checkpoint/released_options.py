"""What the released models compute beyond what their tensors say, and whether a model of ours does the same.

Shapes tell depth and width. They do not tell the number of attention heads, the activation, or that the class embedding
is added twice: a model with other options loads the same tensors and gives other heatmaps.
"""
from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from .clip_towers import tower_shape
from .released_file import ReleasedFile

# RGB means and deviations of the images. CLAMP keeps ImageNet's, DenseCLIP takes CLIP's.
NORMALISATION = {
    'CLAMP': ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    'DenseCLIP': ((122.7709383, 116.7460125, 104.0937362), (68.5005327, 66.6321579, 70.3231630)),
}
# The released weight of the spatial loss, by kind, width and blocks of the backbone.
SPATIAL_WEIGHTS = {
    ('CLIP ResNet', 64, (3, 4, 6, 3)): 0.4,
    ('CLIP vision transformer', 768, (12, )): 2.0,
    ('CLIP vision transformer', 1024, (24, )): 1.0,
}


@dataclasses.dataclass(frozen=True)
class Difference:
    """An option of the config that differs from the released model's. ``fatal``: the outputs would be others."""

    option: str
    found: Any
    wanted: Any
    fatal: bool
    effect: str

    def __str__(self) -> str:
        return f'{self.option}={self.found!r}, but the released model has {self.wanted!r} ({self.effect})'


def compare_options(file: ReleasedFile, model: nn.Module) -> list[Difference]:
    """Every option of ``model`` that is not the released one."""
    demands = [*_of_towers(model), *_of_images(file, model)]
    if file.method == 'CLAMP':
        demands += [*_of_training(model), *_of_testing(model)]
    else:
        demands += _of_denseclip(file, model)
    return [Difference(option, found, wanted, fatal, effect)
            for option, found, wanted, fatal, effect in demands if not _same(found, wanted)]


def _of_towers(model: nn.Module) -> Iterator[tuple]:
    effect = 'the shapes are the same, the features are not'
    backbone, neck = model.backbone, model.neck
    if hasattr(backbone, 'double_class_embedding'):  # a vision transformer
        yield 'backbone.quick_gelu', backbone.quick_gelu, True, True, f"{effect}; arch='...-quickgelu'"
    text = neck.prompts.text_encoder
    yield 'neck.text_encoder.quick_gelu', text.quick_gelu, True, True, f"{effect}; arch='...-quickgelu'"
    yield 'neck.text_encoder.heads', text.tower.transformer.resblocks[0].attn.num_heads, 8, True, effect
    if neck.prompt_encoder is not None:
        heads = neck.prompt_encoder.transformer.resblocks[0].attn.num_heads
        yield 'neck.prompt_encoder.num_heads', heads, 8, True, effect
    if neck.context_decoder is not None:
        heads = neck.context_decoder.decoder[0].self_attn.num_heads
        yield 'neck.context_decoder.num_heads', heads, 4, True, effect


def _of_images(file: ReleasedFile, model: nn.Module) -> Iterator[tuple]:
    effect = 'the network would see other pixels'
    mean, std = NORMALISATION[file.method]
    preprocessor = model.data_preprocessor
    yield 'data_preprocessor.mean', _channels(getattr(preprocessor, 'mean', None)), mean, True, effect
    yield 'data_preprocessor.std', _channels(getattr(preprocessor, 'std', None)), std, True, effect
    swapped = getattr(preprocessor, '_channel_conversion', False)
    yield 'data_preprocessor.bgr_to_rgb', swapped, True, True, effect


def _of_training(model: nn.Module) -> Iterator[tuple]:
    """The losses of CLAMP; heatmaps do not depend on them."""
    effect = 'its losses will differ; heatmaps do not depend on it'
    head = model.head
    yield 'head.loss', _weighted_mse(getattr(head, 'loss_module', None)), ('KeypointMSELoss', True, 1.0), False, effect
    shape = tower_shape(model.backbone.tower.state_dict())
    released = shape and SPATIAL_WEIGHTS.get((shape.kind, shape.width, shape.blocks))
    spatial = getattr(head, 'spatial_loss', None)
    if spatial is not None and released:
        yield 'head.spatial_loss', _weighted_mse(spatial), ('KeypointMSELoss', True, released), False, effect
    feature = getattr(head, 'feature_loss', None)
    if feature is not None:
        yield 'head.feature_sampling', head.feature_sampling, 'released', False, effect
        for name, wanted in (('loss_weight', 5e-4), ('max_scale', None), ('average_visible', False),
                             ('mask_invisible', False)):
            yield f'head.feature_loss.{name}', getattr(feature, name), wanted, False, effect


def _of_testing(model: nn.Module) -> Iterator[tuple]:
    """From heatmaps to keypoints: argmax and a quarter of a pixel, averaged with the flipped image."""
    effect = 'heatmaps are the same, keypoints will differ'
    decoder = getattr(model.head, 'decoder', None)
    yield 'head.decoder.type', type(decoder).__name__, 'MSRAHeatmap', False, effect
    yield 'head.decoder.unbiased', getattr(decoder, 'unbiased', False), False, False, effect
    for name, default, wanted in (('flip_test', False, True), ('flip_mode', 'heatmap', 'heatmap'),
                                  ('shift_heatmap', False, True)):
        yield f'test_cfg.{name}', (model.test_cfg or {}).get(name, default), wanted, False, effect


def _of_denseclip(file: ReleasedFile, model: nn.Module) -> Iterator[tuple]:
    neck = model.neck
    if getattr(neck, 'next_neck', None) is None:
        return  # nothing of the file comes behind the score maps
    wanted = 0.07 if file.task == 'detection' else 1.0
    yield 'neck.tau', neck.tau, wanted, True, 'the FPN would see other score maps'
    if file.task == 'detection':
        cropped = getattr(model.backbone, 'crop_positions', None)
        yield 'backbone.crop_positions', cropped, True, True, 'the image embedding would be another'
        table = file.tensors.get('backbone.attnpool.positional_embedding')
        if cropped and table is not None and table.ndim == 2:
            # Cropped positions must not be resized when they are loaded.
            size = (32 * math.isqrt(max(len(table) - 1, 0)), ) * 2
            found = tuple(32 * cells for cells in reversed(model.backbone.grid_size))
            yield 'backbone.input_size', found, size, True, 'its positions are cropped, not resized'


def _weighted_mse(loss: nn.Module | None) -> tuple:
    return type(loss).__name__, getattr(loss, 'use_target_weight', None), getattr(loss, 'loss_weight', None)


def _channels(value: Tensor | None) -> tuple[float, ...] | None:
    return None if value is None else tuple(round(x, 4) for x in value.flatten().tolist())


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, tuple) and isinstance(wanted[0], float):
        return found is not None and len(found) == len(wanted) and all(
            abs(a - b) < 0.01 for a, b in zip(found, wanted))
    return found == wanted
