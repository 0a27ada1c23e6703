from __future__ import annotations

from mmpose.evaluation.metrics import MpiiPCKAccuracy
from mmpose.registry import METRICS


@METRICS.register_module()
class ZeroBasedMpiiPCKAccuracy(MpiiPCKAccuracy):
    """MMPose's PCKh of MPII for predictions and labels that both count pixels from 0, as in ``CheckedMpiiDataset``.

    MMPose's own adds one pixel to the predictions alone.
    """

    def compute_metrics(self, results: list) -> dict[str, float]:
        return super().compute_metrics([dict(result, pred_coords=result['pred_coords'] - 1) for result in results])
