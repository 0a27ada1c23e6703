from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpose.registry import HOOKS, VISUALIZERS
from mmpose.structures import PoseDataSample
from torch import nn


@HOOKS.register_module()
class ScoreMapVisualizationHook(Hook):
    """Shows during validation where the prompts find their keypoints, in whatever backends the visualizer has.

    After every ``interval`` epochs the first validation draws the score maps of some instances over their crops, as
    ``score_maps_1`` and so on, by :class:`ScoreMapVisualizer`. They go to ``runner.visualizer``, of any type, and so to
    files, TensorBoard or Weights & Biases. Training is as without the hook: the instances go through the model once
    more in evaluation mode, on the first process alone. What cannot be drawn, such as a model without a score map, is
    one warning; the training goes on.

    Args:
        interval: epochs between two drawings; a validation outside of a training by epochs always draws.
        instances: how many, spread evenly over the validation set; or their places in the order of validation. In
            distributed runs, over the part of the first process.
        keypoints: names of the keypoints to draw, as in the neck's ``keypoint_names``; all if None.
        raw: draws the neck's cosines, in place of the map that the head's spatial loss sees.
        limits: the scores that are dark and bright, to compare epochs by brightness; None takes them from each
            picture, whose bar and figures tell them.
        height: of a crop in pixels.
    """

    def __init__(self,
                 interval: int = 1,
                 *,
                 instances: int | Sequence[int] = 4,
                 keypoints: Sequence[str] | None = None,
                 raw: bool = False,
                 limits: tuple[float, float] | None = None,
                 height: int = 256) -> None:
        if interval < 1:
            raise ValueError(f'interval={interval} must be 1 or more')
        if isinstance(instances, int) and instances < 1:
            raise ValueError(f'instances={instances} must be 1 or more, or a list of places')
        if height < 1:
            raise ValueError(f'height={height} must be 1 or more')
        if limits is not None and limits[0] >= limits[1]:
            raise ValueError(f'limits={limits}: the first must be lower')
        self.interval = interval
        self.instances = instances
        self.keypoints = keypoints
        self.raw = raw
        self.limits = limits
        self.height = height
        self._last_epoch: int | None = None
        self._places: dict[int, int] = {}  # place in the order of validation -> number of the picture
        self._seen = 0
        self._broken = False

    def before_val_epoch(self, runner: Runner) -> None:
        self._places, self._seen = {}, 0
        if self._broken or not is_main_process() or not self._is_due(runner):
            return
        places = self.instances
        if isinstance(places, int):
            total = len(runner.val_dataloader.sampler)
            places = np.unique(np.linspace(0, total - 1, min(places, total)).round().astype(int)).tolist()
        self._places = {place: number for number, place in enumerate(places, 1)}

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: Sequence[PoseDataSample] | None = None) -> None:
        start, self._seen = self._seen, self._seen + len(outputs)
        rows = {row: self._places[start + row] for row in range(len(outputs)) if start + row in self._places}
        if not rows or self._broken:
            return
        # Not a picture, whatever is wrong with it, is worth a training.
        try:
            self._draw(runner, data_batch, outputs, rows)
        except Exception as error:
            self._broken = True
            runner.logger.warning(f'ScoreMapVisualizationHook draws nothing: {error}')

    @torch.no_grad()
    def _draw(self, runner: Runner, data_batch: dict, outputs: Sequence[PoseDataSample], rows: dict[int, int]) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        names = getattr(getattr(model, 'neck', None), 'keypoint_names', None)
        batch = {key: [values[row] for row in rows] for key, values in data_batch.items()}
        score_map, upsampled = self._score_maps(model, model.data_preprocessor(batch, False)['inputs'])
        if names is None or score_map is None:
            raise ValueError('the model makes no score map; one with PromptLearnerNeck or DenseCLIPNeck does')
        draw = VISUALIZERS.get('mmpose.ScoreMapVisualizer').draw_score_maps
        step = runner.epoch if self._by_epoch(runner) else runner.iter
        for index, (row, number) in enumerate(rows.items()):
            picture = draw(
                outputs[row],
                names,
                score_map=score_map[index],
                upsampled=None if upsampled is None else upsampled[index],
                keypoints=self.keypoints,
                limits=self.limits,
                height=self.height)
            runner.visualizer.add_image(f'score_maps_{number}', picture, step)

    def _score_maps(self, model: nn.Module, inputs: torch.Tensor) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The neck's (B, K, h, w) and, if it is to be shown, the same as the spatial loss sees it."""
        feats = model.extract_feat(inputs)
        score_map = getattr(feats, 'score_map', None)
        if score_map is None:
            return None, None
        upsampled = None
        if not self.raw and hasattr(model.head, 'upsample_score_map'):
            upsampled = model.head.upsample_score_map(score_map, model.head(feats).shape[-2:])
            upsampled = upsampled.float().cpu().numpy() if upsampled.shape[1] == score_map.shape[1] else None
        return score_map.float().cpu().numpy(), upsampled

    def _is_due(self, runner: Runner) -> bool:
        if not self._by_epoch(runner):
            return True
        due = self._last_epoch is None or runner.epoch - self._last_epoch >= self.interval
        if due:
            self._last_epoch = runner.epoch
        return due

    def _by_epoch(self, runner: Runner) -> bool:
        return isinstance(runner._train_loop, EpochBasedTrainLoop)
