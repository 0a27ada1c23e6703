"""Fig. 7 of LOFR: where its transformer looks for each keypoint, and where the CNN's classifier sees it."""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from mmpose.models.pose_estimators.base import BasePoseEstimator

from ..evaluation.metrics.response_at_joints_metric import response_at
from ..evaluation.pose_errors import to_input_pixels
from .pose_view import PoseView, view_sample

RESPONSE_COLUMNS = ('image', 'keypoint', 'map', 'score', 'response at label', 'x', 'y', 'label x', 'label y')
_REQUIRED = ('read', 'activation_maps', 'part_decoder')


def missing_for_responses(head: torch.nn.Module | None) -> list[str]:
    """What a head lacks to have response maps and activation maps, in words; empty if nothing."""
    return [name for name in _REQUIRED if not hasattr(head, name)]


@torch.no_grad()
def view_responses(model: BasePoseEstimator,
                   dataset: BaseDataset,
                   indices: Sequence[int],
                   source: str = 'response',
                   *,
                   height: int = 384) -> list[PoseView]:
    """Views whose ``heatmap`` are the maps that ``output_heatmaps`` gives, and whose keypoints are read from them.

    As the model's test does it, flip test included. ``source``: 'response' or 'activation', of a LOFRHead; other heads
    have maps of one kind.
    """
    views, own = [], model.test_cfg
    # The keypoints that a test leaves out have maps too.
    model.test_cfg = dict(own, predict_from=source, output_heatmaps=True, output_keypoint_indices=None)
    try:
        for index in indices:
            batch = model.data_preprocessor(pseudo_collate([dataset[index]]), False)
            sample = model.predict(**batch)[0]
            if 'pred_fields' not in sample or 'heatmaps' not in sample.pred_fields:
                raise ValueError(f'{type(model.head).__name__} gives no maps for output_heatmaps')
            maps = sample.pred_fields.heatmaps.float().cpu().numpy()
            views.append(view_sample(sample, height=height, heatmap=maps))
    finally:
        model.test_cfg = own
    return views


def responses_at_labels(view: PoseView) -> np.ndarray:
    """(K,): the value of each map in the cell of the label, as a share of the map's maximum; NaN without a label.

    That of ``ResponseAtJointsMetric``.
    """
    values = np.full(len(view.heatmap), np.nan)
    if view.annotated and (view.visible > 0).any():
        points = to_input_pixels(view.sample.gt_instances.keypoints, view.sample.metainfo)[0]
        cells = points * (np.array(view.heatmap.shape[:0:-1]) / np.asarray(view.sample.input_size))
        for index in np.flatnonzero(view.visible > 0):
            values[index] = response_at(view.heatmap[index], np.floor(cells[index] + 0.5).astype(int))
    return values


def response_table(kinds: dict[str, PoseView], keypoints: Sequence[int], names: Sequence[str]) -> Iterator[list]:
    """A row per keypoint and kind of map of one instance, as RESPONSE_COLUMNS names them; pixels of its image."""
    values = {kind: responses_at_labels(view) for kind, view in kinds.items()}
    for index in keypoints:
        for kind, view in kinds.items():
            found, truth = view.sample.pred_instances, view.sample.gt_instances
            label = truth.keypoints[0, index, :2] if view.visible[index] > 0 else ()
            yield [view.name, names[index], kind, f'{view.scores[index]:.4g}', _text(values[kind][index]),
                   *(f'{value:.2f}' for value in found.keypoints[0, index, :2]),
                   *([f'{value:.2f}' for value in label] or ['', ''])]


def _text(value: float) -> str:
    return '' if np.isnan(value) else f'{value:.4g}'
