from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from mmengine.logging import MMLogger
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import MODELS
from mmpose.utils.typing import SampleList
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ...engine.adaptation import adapt, check_max_norm, check_steps, is_positive
from ..heads.adaptable_head import (
    forward_adapted,
    forward_and_auxiliary_loss,
    loss_of_one_image,
    missing_for_adaptation,
    prepare_adaptation,
)
from .test_time_adaptation import Adapted, TestTimeAdaptation

STAGES = ('joint', 'meta', 'test')


class InnerLoop(NamedTuple):
    """Gradient steps of the meta stage. ``order``: 1 takes the gradients as constants, 2 differentiates through them;
    ``learned_rates``: the size is learned for each parameter tensor, from ``lr`` on; ``max_norm``: longer gradients of
    an image are shortened to it, since those of a few images are by far the longest."""

    steps: int = 5
    lr: float = 5e-3
    order: int = 2
    learned_rates: bool = False
    max_norm: float | None = None


@MODELS.register_module()
class MeTTAPoseEstimator(TopdownPoseEstimator):
    """MMPose's top-down estimator that adapts its head to each image by a self-supervised task (MeTTA).

    It is trained twice and then tested, each stage from the checkpoint of the one before:

    - 'joint': L_pri + lambda L_aux for the whole model;
    - 'meta': each image takes the inner steps of its own auxiliary loss, and the supervised loss of the head that
      results is minimised. Backbone and neck are frozen, and batch norm in evaluation mode from here on;
    - 'test': nothing is trained; every image adapts, unless ``test_cfg`` says otherwise.

    In any stage ``test_cfg=dict(adaptation=dict(steps=5, guard=True))``, the arguments of :class:`TestTimeAdaptation`,
    makes predictions adapt; ``adaptation=None`` does not. Stored weights stay as they are. The flipped image of a flip
    test is predicted with the parameters of its original. Adaptation is computed in full precision, whatever the rest.
    ``forward(mode='tensor')`` gives the output of the stored parameters, as exporters and cost counters want it.

    The supplement gives the stages and 5 steps, no weight, rate or order; those here are ours.

    Args:
        stage: 'joint', 'meta' or 'test'.
        head: :class:`MeTTAHead`, or another with the methods of ``AdaptableHead``.
        auxiliary_weight: lambda of the joint stage.
        meta_auxiliary_weight: of the unadapted head's auxiliary loss beside the supervised loss of the meta stage.
        inner_loop: arguments of ``InnerLoop``.
        update_auxiliary: the meta stage trains the modules that serve the auxiliary task alone. By the second order
            only, or by ``meta_auxiliary_weight``; otherwise they are frozen anyway.
        kwargs: as in ``TopdownPoseEstimator``.
    """

    def __init__(self,
                 *args,
                 stage: str = 'joint',
                 auxiliary_weight: float = 0.1,
                 meta_auxiliary_weight: float = 0.0,
                 inner_loop: dict | None = None,
                 update_auxiliary: bool = True,
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if stage not in STAGES:
            raise ValueError(f"stage='{stage}' must be one of {list(STAGES)}")
        self.stage = stage
        self.auxiliary_weight = _check_weight('auxiliary_weight', auxiliary_weight)
        self.meta_auxiliary_weight = _check_weight('meta_auxiliary_weight', meta_auxiliary_weight)
        self.inner_loop = _check_inner_loop(InnerLoop(**(inner_loop or {})))
        missing = missing_for_adaptation(getattr(self, 'head', None))
        if missing:
            raise ValueError(f"head {type(getattr(self, 'head', None)).__name__} cannot adapt, it lacks "
                             f"{' and '.join(missing)}; MeTTAHead has them")
        self._names = list(self.head.adaptable_parameters())
        if self.inner_loop.learned_rates:
            # As logarithms, so that no training step makes one negative.
            self.log_rates = nn.Parameter(torch.full((len(self._names), ), math.log(self.inner_loop.lr)))
        options = self.test_cfg.get('adaptation', dict(steps=self.inner_loop.steps) if stage == 'test' else None)
        self.adaptation = None if options is None else TestTimeAdaptation(**options)
        second_order = self.inner_loop.order == 2 and self.inner_loop.steps > 0
        self._freeze(update_auxiliary and (second_order or self.meta_auxiliary_weight > 0))
        self._has_loaded = False
        self._register_load_state_dict_pre_hook(self._check_loaded)

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict:
        if self.stage == 'test':
            raise ValueError("stage='test' trains nothing; set stage='joint' or 'meta'")
        if self.stage == 'meta':
            self._warn_without_checkpoint()
            return self._meta_loss(inputs, data_samples)
        feats = self.extract_feat(inputs)
        outputs, auxiliary = forward_and_auxiliary_loss(self.head, feats, inputs)
        losses = _with_forward(self.head, lambda _: outputs).loss(feats, data_samples, train_cfg=self.train_cfg)
        losses['loss_auxiliary'] = self.auxiliary_weight * auxiliary.mean()
        return losses

    def predict(self, inputs: Tensor, data_samples: SampleList) -> SampleList:
        if self.adaptation is None:
            return super().predict(inputs, data_samples)
        views = [self._prepare(inputs)]
        with torch.autocast(inputs.device.type, enabled=False):
            adapted = self.adaptation(self.head, views[0], inputs, data_samples, self.rates(), self.inner_loop.max_norm)
        if self.test_cfg.get('flip_test', False):
            views.append(self._prepare(inputs.flip(-1)))
        recorded = []
        for params in adapted.params:  # one, unless the steps are recorded; the last is the result
            results = self._predict_adapted(params, views, data_samples)
            recorded.append([sample.pred_instances for sample in results])
        if self.adaptation.record:
            for sample, *instances in zip(results, *recorded):
                sample.adapted_instances = instances
        _describe(adapted, results)
        return results

    def rates(self) -> float | dict[str, Tensor]:
        """The step size of the inner loop, or one for each adaptable parameter."""
        if self.inner_loop.learned_rates:
            return dict(zip(self._names, self.log_rates.exp()))
        return self.inner_loop.lr

    def train(self, mode: bool = True) -> MeTTAPoseEstimator:
        super().train(mode)
        if mode and self.stage != 'joint':
            frozen = [self.backbone, *([self.neck] if self.with_neck else []), *_norms(self.head)]
            for module in frozen:
                module.eval()
        return self

    def _meta_loss(self, inputs: Tensor, data_samples: SampleList) -> dict:
        with torch.no_grad():
            feats = self.extract_feat(inputs)
        # Slopes of the auxiliary loss are too small for half precision.
        with torch.autocast(inputs.device.type, enabled=False):
            prepared = _prepare(self.head, feats, inputs)
            params = adapt(loss_of_one_image(self.head), self.head.adaptable_parameters(), prepared, inputs,
                           lr=self.rates(), steps=self.inner_loop.steps, max_norm=self.inner_loop.max_norm,
                           create_graph=self.inner_loop.order == 2)
            outputs = forward_adapted(self.head, params, prepared)
            unadapted = self.head.adaptation_loss(prepared, inputs) if self.meta_auxiliary_weight else None
        losses = _with_forward(self.head, lambda _: outputs).loss(feats, data_samples, train_cfg=self.train_cfg)
        if unadapted is not None:
            losses['loss_auxiliary'] = self.meta_auxiliary_weight * unadapted.mean()
        return losses

    def _prepare(self, inputs: Tensor) -> tuple:
        feats = self.extract_feat(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            return _prepare(self.head, feats, inputs)

    def _predict_adapted(self, params: dict[str, Tensor], views: list[tuple], data_samples: SampleList) -> SampleList:
        """Predicts each image with its own parameters; ``views``: the image, and its mirror image if there is one."""
        with torch.autocast(views[0][0].device.type, enabled=False):
            outputs = [forward_adapted(self.head, params, view) for view in views]
        predictions = _with_forward(self.head, lambda view: view).predict(
            outputs if len(outputs) > 1 else outputs[0], data_samples, test_cfg=self.test_cfg)
        instances, fields = predictions if isinstance(predictions, tuple) else (predictions, None)
        return self.add_pred_to_datasample(instances, fields, data_samples)

    def _freeze(self, train_auxiliary: bool) -> None:
        """What is not trained in this stage gets no gradient, and DistributedDataParallel waits for none."""
        if self.stage == 'joint':
            return
        if self.stage == 'test':
            self.requires_grad_(False)
            return
        frozen = [self.backbone, *_norms(self.head), *_modules(self.head, 'frozen_modules')]
        frozen += [self.neck] if self.with_neck else []
        frozen += [] if train_auxiliary else _modules(self.head, 'auxiliary_modules')
        for module in frozen:
            module.requires_grad_(False)
        for parameter in self.head.adaptable_parameters().values():
            parameter.requires_grad_(True)

    def check_checkpoint(self, state_dict: dict, prefix: str = '') -> None:
        """Raises ValueError for a checkpoint of a pose model that has no auxiliary network to adapt by."""
        if any(key.startswith(f'{prefix}head.') for key in state_dict):
            for name in getattr(self.head, 'auxiliary_modules', ()):
                if not any(key.startswith(f'{prefix}head.{name}.') for key in state_dict):
                    raise ValueError(f'the checkpoint has no auxiliary network (head.{name}), by which the model '
                                     "adapts; it was not trained with stage='joint'")

    def _check_loaded(self, state_dict: dict, prefix: str, *args) -> None:
        if self.stage != 'joint' or self.adaptation is not None:
            self.check_checkpoint(state_dict, prefix)
        if any(key.startswith(f'{prefix}head.') for key in state_dict):
            if self.stage != 'joint':
                self._refuse_another_model(state_dict, prefix)
            self._has_loaded = True

    def _refuse_another_model(self, state_dict: dict, prefix: str) -> None:
        """MMEngine only warns, and would freeze what is left at random."""
        may_lack = ('log_rates', 'neck.', 'head.perceptual_loss.')
        odd = []
        for key, value in self.state_dict().items():
            given = state_dict.get(prefix + key)
            if given is None and not key.startswith(may_lack) and not key.endswith('num_batches_tracked'):
                odd.append(f'{key} is missing')
            elif given is not None and given.shape != value.shape:
                odd.append(f'{key} is {tuple(given.shape)} there and {tuple(value.shape)} here')
        if odd:
            more = f', and {len(odd) - 1} more' if len(odd) > 1 else ''
            raise ValueError(f"the checkpoint is of another model: {odd[0]}{more}; stage='{self.stage}' takes that of "
                             "the stage before it")

    def _warn_without_checkpoint(self) -> None:
        if not self._has_loaded:
            self._has_loaded = True  # said once
            MMLogger.get_current_instance().warning(
                "stage='meta' trains a model whose backbone is frozen and that has loaded no checkpoint; load_from=... "
                'takes the last one of the joint stage')


def _prepare(head: nn.Module, feats: tuple, inputs: Tensor) -> tuple:
    feats = [feat.float() if feat.dtype in (torch.float16, torch.bfloat16) else feat for feat in feats]
    return prepare_adaptation(head, tuple(feats), inputs)


def _with_forward(head: nn.Module, forward: Callable) -> nn.Module:
    """The same head for what comes after its ``forward``, whose outputs are there already."""
    other = copy.copy(head)
    other.forward = forward
    return other


def _norms(module: nn.Module) -> list[nn.Module]:
    return [norm for norm in module.modules() if isinstance(norm, _NormBase)]


def _modules(head: nn.Module, kind: str) -> list[nn.Module]:
    return [head.get_submodule(name) for name in getattr(head, kind, ())]


def _describe(adapted: Adapted, data_samples: SampleList) -> None:
    """Leaves in each sample's metainfo what became of its image."""
    losses = [None] * len(data_samples) if adapted.losses is None else adapted.losses.tolist()
    for sample, loss, guarded in zip(data_samples, losses, adapted.guarded.tolist()):
        sample.set_metainfo(dict(adaptation=dict(losses=loss, guarded=guarded)))


def _check_weight(name: str, weight: float) -> float:
    if not (weight >= 0 and math.isfinite(weight)):
        raise ValueError(f'{name}={weight} must be 0 or more')
    return weight


def _check_inner_loop(inner_loop: InnerLoop) -> InnerLoop:
    steps, lr, order, _, max_norm = inner_loop
    check_max_norm(max_norm)
    check_steps(steps, ' of inner_loop')
    if not is_positive(lr):
        raise ValueError(f'lr={lr!r} of inner_loop must be greater than 0')
    if order not in (1, 2):
        raise ValueError(f'order={order} of inner_loop must be 1 or 2')
    return inner_loop
