from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmpose.registry import METRICS

from ..aligned_table import align_columns
from ..pose_errors import to_input_pixels

# In the order of LOFR's Table 7; other keypoints follow in the dataset's.
_ORDER = ('ear', 'eye', 'nose', 'head', 'shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
_SAME = dict(head_top='head', top_head='head')


@METRICS.register_module()
class ResponseAtJointsMetric(BaseMetric):
    """How strongly the maps of a model respond where the joints are, LOFR's Table 7.

    Each map is divided by its greatest value, so that 1 is the place that responds most; what is below 0 counts as 0,
    and a map without any response is 0 everywhere. The value at a joint is that of the cell it lies in. Returns the
    mean over the labelled joints of all instances: ``response/mean``, and of left and right together
    ``response/shoulder``, ``response/elbow`` and so on. Joints outside the maps do not count. NaN is what there is no
    label of. The log has a table in the order of the paper's, and of each keypoint.

    ``response/anywhere`` is the mean over all cells of the same maps, which a place chosen at random has. A model whose
    maps are flat, such as one with random weights, responds strongly at the joints and as strongly everywhere else.

    The model needs ``test_cfg=dict(output_heatmaps=True)``, and the test boxes with labels, such as the annotated ones.
    The paper does not say what it takes as "around" a joint, nor how it has a value of the head on COCO, whose labels
    have none; here the head is MPII's ``head_top`` and CrowdPose's ``top_head``.

    Args:
        radius: in cells; the value at a joint is the mean over the cells at most this far from its own. 0 is that cell
            alone.
        per_keypoint: whether the mean of each keypoint is returned too, as ``response/left_shoulder``.
        collect_device, prefix: of MMEngine's ``BaseMetric``.
    """

    default_prefix = 'response'

    def __init__(self,
                 radius: float = 0,
                 per_keypoint: bool = False,
                 *,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if isinstance(radius, bool) or not isinstance(radius, (int, float)) or not 0 <= radius < float('inf'):
            raise ValueError(f'radius={radius!r} must be a distance in cells of the maps, 0 or more')
        self.radius = radius
        self.per_keypoint = per_keypoint

    def process(self, data_batch: Sequence[dict], data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            self.results.append(self._measure(sample))

    def compute_metrics(self, results: list) -> dict[str, float]:
        names = self._names(len(results[0]) if results else (self.dataset_meta or {}).get('num_keypoints', 0))
        values, anywhere = np.moveaxis(np.array(results, dtype=np.float64).reshape(-1, len(names), 2), 2, 0)
        groups = {}
        for index, name in enumerate(names):
            groups.setdefault(_group(name), []).append(index)
        groups = {name: groups[name] for name in (*filter(groups.get, _ORDER), *groups)}
        metrics = {'mean': _mean(values), 'anywhere': _mean(anywhere)}
        metrics.update((name, _mean(values[:, places])) for name, places in groups.items())
        single = {name: _mean(column) for name, column in zip(names, values.T)}
        self._log(metrics, single, values, groups)
        if self.per_keypoint:
            metrics.update((name, value) for name, value in single.items() if name not in metrics)
        return metrics

    def _measure(self, sample: Mapping) -> list[tuple[float, float]]:
        """For each keypoint the value at the joint and the mean of the map, NaN where there is no label."""
        maps = (sample.get('pred_fields') or {}).get('heatmaps')
        if maps is None:
            raise ValueError('ResponseAtJointsMetric reads the maps of the model: test_cfg=dict(output_heatmaps=True)')
        maps = maps.detach().float().cpu().numpy() if hasattr(maps, 'detach') else np.asarray(maps, dtype=np.float32)
        truth = sample['gt_instances']
        points = to_input_pixels(truth['keypoints'], sample)  # (1, K, 2)
        if points.shape[:2] != (1, len(maps)):
            raise ValueError(f'the model gives {len(maps)} maps, and the sample {points.shape[0]} instances of '
                             f'{points.shape[1]} keypoints; ResponseAtJointsMetric compares the maps of one instance')
        visible = np.asarray(truth['keypoints_visible']).reshape(1, len(maps), -1)[0, :, 0] > 0
        if visible.all() and not np.any(truth['keypoints']):
            raise ValueError('all keypoints of the sample lie at (0, 0): boxes of a detector (bbox_file) come without '
                             'labels, which ResponseAtJointsMetric needs')
        cells = points[0] * (np.array(maps.shape[:0:-1]) / np.asarray(sample['input_size']))
        return [_measure_map(field, cell, self.radius) if seen else (np.nan, np.nan)
                for field, cell, seen in zip(maps, np.floor(cells + 0.5).astype(int), visible)]

    def _names(self, number: int) -> list[str]:
        names = (self.dataset_meta or {}).get('keypoint_id2name') or {}
        return [str(names.get(index, f'keypoint {index}')) for index in range(number)]

    def _log(self, metrics: dict, single: dict, values: np.ndarray, groups: dict) -> None:
        lines = [['joint', 'labels', 'response']]
        labelled = np.isfinite(values).sum(0)
        for name, places in groups.items():
            lines.append([name, str(labelled[places].sum()), _text(metrics[name])])
            if len(places) > 1:
                keypoints = list(single.items())
                lines += [[f'  {keypoints[place][0]}', str(labelled[place]), _text(keypoints[place][1])]
                          for place in places]
        lines.append(['mean', str(labelled.sum()), _text(metrics['mean'])])
        MMLogger.get_current_instance().info(
            f'mean response at the joints, of 1; anywhere in the maps {_text(metrics["anywhere"])}\n'
            f'{align_columns(lines)}')


def response_at(field: np.ndarray, cell: np.ndarray, radius: float = 0) -> float:
    """field: (H, W); cell: x, y. The mean of the cells within ``radius``, as a share of the maximum; NaN outside."""
    return _measure_map(field, cell, radius)[0]


def _measure_map(field: np.ndarray, cell: np.ndarray, radius: float) -> tuple[float, float]:
    """The mean of the cells within ``radius``, and of all cells; both NaN for a cell outside."""
    height, width = field.shape
    x, y = cell
    if not (0 <= x < width and 0 <= y < height):
        return np.nan, np.nan
    field = np.maximum(np.nan_to_num(field), 0)
    greatest = field.max()
    if not greatest:
        return 0.0, 0.0
    anywhere = float(field.mean() / greatest)
    if not radius:
        return float(field[y, x] / greatest), anywhere
    rows, columns = np.mgrid[:height, :width]
    near = (columns - x)**2 + (rows - y)**2 <= radius**2
    return float(field[near].mean() / greatest), anywhere


def _group(name: str) -> str:
    """'left_shoulder', 'right shoulder' and 'shoulder_r' are 'shoulder'."""
    words = [word for word in re.split(r'[\s_-]+', name.lower()) if word not in ('left', 'right', 'l', 'r')]
    plain = '_'.join(words) or name
    return _SAME.get(plain, plain)


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float('nan')


def _text(value: float) -> str:
    return '-' if np.isnan(value) else f'{value:.3f}'
