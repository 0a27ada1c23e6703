from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce
from mmengine.evaluator import BaseMetric, DumpResults, Evaluator
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpose.registry import HOOKS
from mmpose.structures import PoseDataSample
from torch import nn

from ...models.heads.adaptable_head import missing_for_adaptation
from ...models.pose_estimators.test_time_adaptation import TestTimeAdaptation


@HOOKS.register_module()
class MeTTAHook(Hook):
    """Adapts a :class:`MeTTAPoseEstimator` to the images of a test or a validation, and tells what that brings.

    Adds to the metrics, and so to logs and loggers, those after each step 0, 1, ..., ``steps`` (Table 2) as
    ``adaptation/step_0/coco/AP`` and so on, the seconds per image that adaptation took and the share of images that the
    guard left alone. The results are those of ``test_cfg=dict(adaptation=...)`` with the same arguments, which it
    replaces for the time. Stored weights and checkpoints are as without it. From the command line,
    ``--cfg-options default_hooks.metta.type=MeTTAHook default_hooks.metta.steps=5`` adds it to any config.

    Args:
        steps, lr, scope, reset, guard: as in :class:`TestTimeAdaptation`.
        accuracy: evaluates after every step, which costs a prediction for each.
    """

    def __init__(self,
                 steps: int = 5,
                 *,
                 lr: float | None = None,
                 scope: str = 'image',
                 reset: str | int | None = None,
                 guard: bool = True,
                 accuracy: bool = True) -> None:
        self.adaptation = TestTimeAdaptation(steps, lr=lr, scope=scope, reset=reset, guard=guard, record=accuracy)
        self._before: TestTimeAdaptation | None = None
        self._metrics: list[list[BaseMetric]] = []  # of each step but the last, which the loop evaluates itself

    def before_run(self, runner: Runner) -> None:
        if sum(isinstance(hook, MeTTAHook) for hook in runner.hooks) > 1:
            raise ValueError('MeTTAHook is named twice in default_hooks and custom_hooks; one of them adapts')
        _check_model(_unwrapped(runner.model))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        state_dict = checkpoint.get('state_dict', checkpoint)
        _unwrapped(runner.model).check_checkpoint({key.removeprefix('module.'): None for key in state_dict})

    def before_val_epoch(self, runner: Runner) -> None:
        self._start(runner, runner.val_loop.evaluator)

    def before_test_epoch(self, runner: Runner) -> None:
        self._start(runner, runner.test_loop.evaluator)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: Sequence[PoseDataSample] | None = None) -> None:
        self._process(data_batch, outputs)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                        outputs: Sequence[PoseDataSample] | None = None) -> None:
        self._process(data_batch, outputs)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self._finish(runner, 'val', len(runner.val_dataloader.dataset), metrics)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self._finish(runner, 'test', len(runner.test_dataloader.dataset), metrics)

    def _start(self, runner: Runner, evaluator: Evaluator) -> None:
        model = _unwrapped(runner.model)
        _check_model(model)
        self.adaptation.clear()
        self._before, model.adaptation = model.adaptation, self.adaptation
        steps = self.adaptation.steps if self.adaptation.record else 0
        # Those that write the results, for `mim test --dump`, would write over them.
        metrics = [metric for metric in evaluator.metrics if not isinstance(metric, DumpResults)]
        self._metrics = [[_copy(metric, step) for metric in metrics] for step in range(steps)]

    def _process(self, data_batch: dict, outputs: Sequence[PoseDataSample]) -> None:
        for step, metrics in enumerate(self._metrics):
            samples = [{**sample.to_dict(), 'pred_instances': sample.adapted_instances[step].to_dict()}
                       for sample in outputs]
            for metric in metrics:
                metric.process(data_batch, samples)

    def _finish(self, runner: Runner, mode: str, size: int, metrics: dict[str, float] | None) -> None:
        _unwrapped(runner.model).adaptation = self._before
        metrics = {} if metrics is None else metrics
        per_step = [{key: value for metric in step for key, value in metric.evaluate(size).items()}
                    for step in self._metrics]
        if self.adaptation.record:
            per_step.append({key: value for key, value in metrics.items() if not key.startswith('adaptation/')})
        found = {f'adaptation/step_{step}/{key}': value for step, values in enumerate(per_step)
                 for key, value in values.items()}
        images, guarded, seconds = self._counts()
        if images:
            found |= {'adaptation/seconds_per_image': seconds / images, 'adaptation/guarded': guarded / images}
        metrics.update(found)
        for key, value in found.items():  # MMEngine has taken the others from the metrics already
            runner.message_hub.update_scalar(f'{mode}/{key}', value)
        for key in per_step[0] if per_step else ():
            values = ', '.join(f'{values[key]:.4f}' for values in per_step if key in values)
            runner.logger.info(f'{key} after 0 to {self.adaptation.steps} steps of adaptation: {values}')
        if images:
            runner.logger.info(f'adaptation of {images} images: {seconds / images:.4f} s per image, {guarded} of them '
                               'left as they were by the guard')
        self._metrics = []

    def _counts(self) -> tuple[int, int, float]:
        """Images, guarded images and seconds of all processes."""
        counts = torch.tensor([self.adaptation.images, self.adaptation.guarded, self.adaptation.seconds],
                              dtype=torch.float64)
        all_reduce(counts)
        images, guarded, seconds = counts.tolist()
        return round(images), round(guarded), seconds


def _check_model(model: nn.Module) -> None:
    if hasattr(model, 'adaptation') and hasattr(model, 'check_checkpoint'):
        return
    head = getattr(model, 'head', None)
    missing = missing_for_adaptation(head)
    lacks = f', and its head {type(head).__name__} lacks {" and ".join(missing)}, as MeTTAHead has' if missing else ''
    raise ValueError(f'{type(model).__name__} cannot adapt: it is no MeTTAPoseEstimator{lacks}')


def _copy(metric: BaseMetric, step: int) -> BaseMetric:
    """An empty metric of the same kind, whose files have other names."""
    other = copy.deepcopy(metric)
    other.results = []
    if getattr(other, 'outfile_prefix', None):
        other.outfile_prefix = f'{other.outfile_prefix}_step{step}'
    return other


def _unwrapped(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model
