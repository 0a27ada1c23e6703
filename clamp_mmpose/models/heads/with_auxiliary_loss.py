from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache, wraps

from mmengine.model import ModuleList
from mmpose.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
def WithAuxiliaryLoss(head: dict, losses: Sequence[dict], **kwargs) -> nn.Module:
    """Builds any head of MMPose or MMDetection and gives it losses on the score map of the neck in front of it.

    In a config, ``head=dict(type='WithAuxiliaryLoss', head=dict(type='RTMCCHead', ...), losses=[dict(
    type='ScoreMapBCELoss')])``. The head stays what it is, class, weights and predictions; only its ``loss`` gives
    more. Its checkpoints fit a head without these losses.

    Not for an ``rpn_head``, whose loss MMDetection takes another way and without classes; in a two-stage detector the
    losses belong to ``roi_head``.

    Args:
        head: config of the head.
        losses: configs of :class:`ScoreMapBCELoss`, :class:`ScoreMapMSELoss` or :class:`BoxScoreLoss`, or of any module
            that takes (features, data samples) and returns a dict of losses.
        kwargs: what a detector adds to its head's config, such as ``train_cfg``.
    """
    module = MODELS.build({**head, **kwargs})
    if 'batch_data_samples' not in _parameters(getattr(module, 'loss', None)):
        raise ValueError(f"head type='{type(module).__name__}' has no loss of features and data samples, such as the "
                         'heads of MMPose, and dense_heads and roi_heads of MMDetection have')
    if not hasattr(module, 'auxiliary_losses'):
        module.__class__ = _with_auxiliary_losses(type(module))
        # MMEngine's list, so that initialising the head initialises them in their own way.
        module.auxiliary_losses = ModuleList()
    module.auxiliary_losses.extend(_build_loss(config) for config in ([losses] if isinstance(losses, dict) else losses))
    return module


def _build_loss(config: dict) -> nn.Module:
    # In a config of MMDetection the default scope is another.
    loss = MODELS.build(dict(config, _scope_='mmpose'))
    if len(_parameters(loss.forward)) != 2:
        raise ValueError(f"type='{config['type']}' of losses is no auxiliary loss: it does not take features and data "
                         'samples, as ScoreMapBCELoss, ScoreMapMSELoss and BoxScoreLoss do')
    return loss


def _parameters(function: Callable | None) -> list[str]:
    return [] if function is None else list(inspect.signature(function).parameters)


@cache
def _with_auxiliary_losses(base: type[nn.Module]) -> type[nn.Module]:
    signature = inspect.signature(base.loss)

    @wraps(base.loss)
    def loss(self, *args, **kwargs) -> dict:
        arguments = signature.bind(self, *args, **kwargs).arguments
        feats, batch_data_samples = [*arguments.values()][1], arguments['batch_data_samples']
        if getattr(feats, 'score_map', None) is None:
            raise ValueError(f'the auxiliary losses of {base.__name__} find no score_map in its features; the head '
                             'stands right behind a neck that makes one: PromptLearnerNeck or DenseCLIPNeck')
        losses = base.loss(self, *args, **kwargs)
        for module in self.auxiliary_losses:
            losses.update(_new_names(module(feats, batch_data_samples), losses))
        return losses

    def loss_and_predict(self, *args, **kwargs) -> tuple:
        raise ValueError(f'auxiliary losses on {base.__name__} as rpn_head would not be used; give them to roi_head, '
                         'which knows the classes of the boxes')

    def __reduce_ex__(self, protocol: int) -> tuple:
        # The class is made here, so that pickle would not find it.
        return _rebuild, (base, ), self.__dict__

    names = dict(loss=loss, __reduce_ex__=__reduce_ex__, __doc__=base.__doc__, __module__=base.__module__)
    if hasattr(base, 'loss_and_predict'):
        names['loss_and_predict'] = loss_and_predict
    return type(base.__name__, (base, ), names)


def _rebuild(base: type[nn.Module]) -> nn.Module:
    derived = _with_auxiliary_losses(base)
    return derived.__new__(derived)


def _new_names(new: dict[str, Tensor], losses: dict) -> dict[str, Tensor]:
    """Numbers a loss whose name is taken."""
    return {next(key for key in (name, *(f'{name}_{index}' for index in range(1, 100))) if key not in losses): value
            for name, value in new.items()}
