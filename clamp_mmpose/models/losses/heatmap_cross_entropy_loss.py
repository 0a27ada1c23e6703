from __future__ import annotations

from mmpose.registry import MODELS
from torch import Tensor, nn

from ..layers.full_precision import full_precision


@MODELS.register_module()
class HeatmapCrossEntropyLoss(nn.Module):
    """Cross-entropy of two heatmaps as distributions over their cells: where the keypoint is, not how high the map is.

    For maps that a softmax made, such as the response maps of :class:`LOFRHead`. Each map and each target are taken
    over their own sums, so their scale does not matter. A squared error hardly moves such a map: where it is flat, its
    gradient vanishes with the number of cells, while that of the cross-entropy at a softmax is the difference of the
    two distributions.

    ``output`` and ``target``: (B, C, H, W), none below 0. ``target_weights``: (B, C). A target of zeros counts nothing,
    whatever its weight. The mean is over B and C, as that of MMPose's KeypointMSELoss.

    Args:
        use_target_weight: multiply each keypoint with its weight.
    """

    _SMALLEST = 1e-12  # of a probability: its logarithm stays finite, and a map that has none of the target's cells

    def __init__(self, *, use_target_weight: bool = False, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.use_target_weight = use_target_weight
        self.loss_weight = loss_weight

    def forward(self, output: Tensor, target: Tensor, target_weights: Tensor | None = None) -> Tensor:
        if output.shape != target.shape:
            raise ValueError(f'the heatmaps {tuple(output.shape)} and their targets {tuple(target.shape)} differ in '
                             'shape')
        if self.use_target_weight and target_weights is None:
            raise ValueError('use_target_weight=True needs target_weights, (B, C)')
        output, target = (_over_its_sum(full_precision(x).flatten(2), self._SMALLEST) for x in (output, target))
        loss = -(target * output.clamp(min=self._SMALLEST).log()).sum(-1)
        if self.use_target_weight:
            loss = loss * target_weights
        return self.loss_weight * loss.mean()


def _over_its_sum(maps: Tensor, smallest: float) -> Tensor:
    return maps / maps.sum(-1, keepdim=True).clamp(min=smallest)
