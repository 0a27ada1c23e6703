from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpose.models.losses import KeypointMSELoss
from mmpose.registry import MODELS
from torch import Tensor

from ...structures import VisionLanguageFeatures
from ..layers.full_precision import full_precision
from ..layers.gaussian_target import score_map_target
from ..layers.score_map_upsampler import ScoreMapUpsampler


@MODELS.register_module()
class ScoreMapMSELoss(BaseModule):
    """Mean squared error of the upsampled score map against Gaussians around the keypoints; an auxiliary loss for pose.

    CLAMP's spatial-level loss (Eq. 5) for heads that have no heatmap, or no loss of their own for the score map.
    Needs ``PackPoseInputs(pack_transformed=True)``.

    Args:
        num_keypoints: K.
        deconv_out_channels: layers that upsample the score map and can rescale its cosines, as released; each doubles
            its size. None upsamples bilinearly to ``heatmap_size`` and leaves cosines as they are.
        heatmap_size: (W, H) of the target; None takes that of the upsampled map.
        sigma: of the Gaussian, in cells of the target.
    """

    def __init__(self,
                 num_keypoints: int,
                 *,
                 deconv_out_channels: Sequence[int] | None = (256, 256, 256),
                 heatmap_size: tuple[int, int] | None = None,
                 sigma: float = 2.0,
                 loss_weight: float = 1.0) -> None:
        super().__init__()
        if deconv_out_channels is None and heatmap_size is None:
            raise ValueError('without deconv_out_channels the score map is resized to heatmap_size, (W, H), which is '
                             'not given')
        self.num_keypoints = num_keypoints
        self.upsampler = None
        if deconv_out_channels is not None:
            self.upsampler = ScoreMapUpsampler(num_keypoints, num_keypoints, deconv_out_channels=deconv_out_channels)
        self.heatmap_size = heatmap_size
        self.sigma = sigma
        self.loss = KeypointMSELoss(use_target_weight=True, loss_weight=loss_weight)

    def forward(self, feats: VisionLanguageFeatures, batch_data_samples: list) -> dict[str, Tensor]:
        if feats.score_map.shape[1] != self.num_keypoints:
            raise ValueError(f'num_keypoints={self.num_keypoints} of ScoreMapMSELoss, but the neck has '
                             f'{feats.score_map.shape[1]} names')
        score_map = full_precision(feats.score_map if self.upsampler is None else self.upsampler(feats.score_map))
        if self.heatmap_size is not None:
            size = (self.heatmap_size[1], self.heatmap_size[0])
            score_map = F.interpolate(score_map, size=size, mode='bilinear', align_corners=False)
        target, weight = score_map_target(score_map, batch_data_samples, self.sigma)
        return dict(loss_score=self.loss(score_map, target, weight))
