from __future__ import annotations

import torch
import torch.nn.functional as F
from mmpose.registry import MODELS
from torch import Tensor, nn

from ...structures import VisionLanguageFeatures
from ..layers.full_precision import full_precision
from ..layers.gaussian_target import score_map_target


@MODELS.register_module()
class ScoreMapBCELoss(nn.Module):
    """Binary cross-entropy of sigmoid(s / tau) against a coarse map of the keypoints; an auxiliary loss for pose.

    DenseCLIP's auxiliary objective (Eq. 7, 8) for a task that the paper does not have: its binary target is a Gaussian
    around the keypoint here, on the grid of the score map. The mean over the cells of the keypoints that are visible;
    0 where none is. It works with every head, for it needs the keypoints themselves:
    ``PackPoseInputs(pack_transformed=True)``.

    Args:
        tau: temperature.
        sigma: of the Gaussian, in cells of the score map.
        loss_weight: beside a heatmap loss of some 1e-3, the paper's 0.4 for segmentation would drown it.
    """

    def __init__(self, *, tau: float = 0.07, sigma: float = 0.5, loss_weight: float = 1e-3) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f'tau={tau} must be above 0')
        self.tau = tau
        self.sigma = sigma
        self.loss_weight = loss_weight

    def forward(self, feats: VisionLanguageFeatures, batch_data_samples: list) -> dict[str, Tensor]:
        logits = full_precision(feats.score_map) / self.tau
        target, weight = score_map_target(logits, batch_data_samples, self.sigma)
        with torch.autocast(logits.device.type, enabled=False):
            loss = F.binary_cross_entropy_with_logits(logits, target, reduction='none').mean((2, 3))
            loss = (loss * weight).sum() / weight.sum().clamp(min=1)
        return dict(loss_score=self.loss_weight * loss)
