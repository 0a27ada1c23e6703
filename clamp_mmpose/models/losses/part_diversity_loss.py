from __future__ import annotations

import torch.nn.functional as F
from mmpose.registry import MODELS
from torch import Tensor, nn

from ..layers.full_precision import full_precision


@MODELS.register_module()
class PartDiversityLoss(nn.Module):
    """Mean cosine between the features of different parts of one image (Eq. 11 of LOFR), over the batch.

    1 where all parts have the same feature, 0 where they are orthogonal, at least -1 / (C - 1).
    ``features``: (B, C, D). A single part differs from no other and gives 0.
    """

    def __init__(self, *, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, features: Tensor) -> Tensor:
        C = features.shape[1]
        unit = F.normalize(full_precision(features), dim=-1)
        # The sum over all pairs, less each part with itself.
        others = unit.sum(1).square().sum(-1) - unit.square().sum((1, 2))
        return self.loss_weight * others.mean() / max(C * (C - 1), 1)
