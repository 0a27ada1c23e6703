from __future__ import annotations

import torch
from mmengine.model.weight_init import update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn

from .caption_tokenizer import is_number


# In the root registry, so that `type='SpatialPrior'` is found under any default scope.
@WEIGHT_INITIALIZERS.register_module()
class SpatialPrior:
    """Tells a BLIP with random weights that near patches, and near numbers, are alike: ``init_cfg=dict(type=...)``.

    The image tower's positions become sines and cosines of column and row, as DETR's, and the words for whole numbers
    points on a smooth random curve. Both are trained like the rest. Ours: the paper starts from pretrained weights.

    positions: amplitude of the sines. numbers: standard deviation of the words' entries; the tables' own for None.
    smoothness: how far apart two numbers are before they are strangers, as a share of the largest.
    """

    def __init__(self, positions: float = 1.0, *, numbers: float | None = None, smoothness: float = 0.06) -> None:
        if positions < 0 or smoothness <= 0 or (numbers is not None and numbers <= 0):
            raise ValueError(f'positions={positions} must be 0 or more, numbers={numbers} and smoothness={smoothness} '
                             'more than 0')
        self.positions, self.numbers, self.smoothness = positions, numbers, smoothness

    def __call__(self, module: nn.Module) -> None:
        """module: a ``BLIPCaptionPoseEstimator``."""
        vision = module.blip.vision_model.embeddings
        side = module.blip.config.vision_config.image_size // module.blip.config.vision_config.patch_size
        words = module.blip.text_decoder.get_input_embeddings().weight
        with torch.no_grad():
            table = vision.position_embedding
            table[:, 1:] = self.positions * _sines(side, table.shape[-1]).to(table)  # the class token has the first
            numbers = {int(word): index for word, index in module.architecture.tokenizer.get_vocab().items()
                       if is_number(word)}
            scale = words.std() if self.numbers is None else self.numbers
            values = torch.tensor(sorted(numbers), dtype=torch.double)
            rows = torch.tensor([numbers[int(value)] for value in values], device=words.device)
            words[rows] = (scale * _curve(values, self.smoothness, words.shape[1])).to(words)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=f'SpatialPrior: positions={self.positions}')


def _sines(side: int, channels: int) -> Tensor:
    """(side * side, channels): a quarter each are sines and cosines of the column and the row."""
    wavelengths = 100**(torch.arange(channels // 4) / (channels // 4))
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing='ij')
    angles = [place.reshape(-1, 1) / wavelengths for place in (column, row)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)


def _curve(values: Tensor, smoothness: float, channels: int) -> Tensor:
    """(N, channels): samples of a Gaussian process over the values, of unit variance."""
    apart = (values[:, None] - values) / (smoothness * values.max().clamp(min=1))
    covariance = torch.exp(-0.5 * apart**2) + 1e-4 * torch.eye(len(values), dtype=values.dtype)
    return torch.linalg.cholesky(covariance) @ torch.randn(len(values), channels, dtype=values.dtype)
