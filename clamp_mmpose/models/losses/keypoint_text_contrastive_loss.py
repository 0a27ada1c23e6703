from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmpose.registry import MODELS
from torch import Tensor, nn

from ..layers import full_precision


@MODELS.register_module()
class KeypointTextContrastiveLoss(nn.Module):
    """Aligns each keypoint's image embedding with its prompt.

    Symmetric cross-entropy over the K keypoints of one image, Eq. 7 and 8 of CLAMP, with a learned scale that starts at
    1 / 0.07. As in the released code, an invisible keypoint weighs 0 but still counts in the mean, and its zero feature
    stays in the softmax of the others as logit 0.

    Args:
        loss_weight: alpha_2 of Eq. 10; the paper does not give it, the released configurations have 5e-4.
        init_temperature: the scale starts at its inverse.
        max_scale: the scale is cut here; None as released, 100 in CLIP.
        average_visible: takes the mean over the visible keypoints, in place of all.
        mask_invisible: leaves invisible keypoints out of the softmax of the others.
    """

    def __init__(self,
                 loss_weight: float = 1.0,
                 *,
                 init_temperature: float = 0.07,
                 max_scale: float | None = None,
                 average_visible: bool = False,
                 mask_invisible: bool = False) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.max_scale = max_scale
        self.average_visible = average_visible
        self.mask_invisible = mask_invisible
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / init_temperature)))

    def forward(self, image: Tensor, text: Tensor, visible: Tensor) -> Tensor:
        """image, text: (B, K, D); visible: (B, K) in {0, 1}."""
        # Half precision has no room for the guard of a zero vector's norm, nor for exp(scale).
        with torch.autocast(image.device.type, enabled=False):
            image, text = full_precision(image), full_precision(text)
            scale = full_precision(self.logit_scale).exp()
            if self.max_scale is not None:
                scale = scale.clamp(max=self.max_scale)
            logits = scale * F.normalize(image, dim=2) @ F.normalize(text, dim=2).transpose(1, 2)  # (B, K, K)
            if self.mask_invisible:
                hidden = visible == 0
                # A hidden row keeps its logits: its loss weighs 0, and a softmax of nothing would be NaN.
                logits = logits.masked_fill((hidden[:, :, None] ^ hidden[:, None, :]), float('-inf'))
            target = torch.arange(logits.shape[1], device=logits.device).expand(logits.shape[:2])
            loss = 0.5 * (
                F.cross_entropy(logits, target, reduction='none') +
                F.cross_entropy(logits.transpose(1, 2), target, reduction='none'))
            loss = (loss * visible).sum()
            count = visible.sum().clamp(min=1) if self.average_visible else visible.numel()
            return loss / count * self.loss_weight
