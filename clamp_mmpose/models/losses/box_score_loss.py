from __future__ import annotations

import torch
import torch.nn.functional as F
from mmpose.registry import MODELS
from torch import Tensor, nn

from ...structures import VisionLanguageFeatures
from ..layers.full_precision import full_precision


@MODELS.register_module()
class BoxScoreLoss(nn.Module):
    """Binary cross-entropy of sigmoid(s / tau) against the boxes of each class: DenseCLIP's Eq. 8, for detectors.

    As in the released code, the score map is resized to ``stride``, a cell belongs to the boxes that cover it after
    rounding down to cells, and cells outside every box do not count: the mean is over cells inside and classes. A batch
    without boxes gives 0, where the released code gives NaN.

    Args:
        tau: temperature.
        stride: of the target, in pixels.
    """

    def __init__(self, *, tau: float = 0.07, stride: int = 4, loss_weight: float = 1.0) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f'tau={tau} must be above 0')
        self.tau = tau
        self.stride = stride
        self.loss_weight = loss_weight

    def forward(self, feats: VisionLanguageFeatures, batch_data_samples: list) -> dict[str, Tensor]:
        if 'labels' not in batch_data_samples[0].gt_instances:
            raise ValueError('BoxScoreLoss needs boxes with classes, as detectors have; for pose there are '
                             'ScoreMapBCELoss and ScoreMapMSELoss')
        height, width = batch_data_samples[0].batch_input_shape
        size = (height // self.stride, width // self.stride)
        score_map = full_precision(feats.score_map)
        num_classes = score_map.shape[1]
        target = score_map.new_zeros((len(score_map), num_classes, *size))
        for boxes_of_image, sample in zip(target, batch_data_samples):
            labels = sample.gt_instances.labels.tolist()
            if labels and max(labels) >= num_classes:
                raise ValueError(f'a box has label {max(labels)}, but the neck has {num_classes} names; give one name '
                                 "per class, in the order of the dataset's metainfo['classes']")
            for (left, top, right, bottom), label in zip(self._cells(sample.gt_instances.bboxes, size), labels):
                boxes_of_image[label, top:bottom, left:right] = 1
        inside = target.amax(1, keepdim=True)
        with torch.autocast(score_map.device.type, enabled=False):
            logits = F.interpolate(score_map / self.tau, size=size, mode='bilinear', align_corners=False)
            loss = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
            loss = (loss * inside).sum() / (inside.sum() * num_classes).clamp(min=1)
        return dict(loss_score=self.loss_weight * loss)

    def _cells(self, boxes: Tensor, size: tuple[int, int]) -> list[list[int]]:
        """Boxes (N, 4) as x1, y1, x2, y2 in pixels -> in cells, ends excluded."""
        boxes = getattr(boxes, 'tensor', boxes)  # MMDetection may wrap them
        limit = boxes.new_tensor([size[1], size[0]] * 2) - 1
        return (boxes / self.stride).floor().clamp(min=0).minimum(limit).long().tolist()
