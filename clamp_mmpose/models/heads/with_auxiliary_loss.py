from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cache

from mmpose.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
def WithAuxiliaryLoss(head: dict, losses: Sequence[dict], **kwargs) -> nn.Module:
    """Builds any head of MMPose or MMDetection and gives it losses on the score map of the neck in front of it.

    In a config, ``head=dict(type='WithAuxiliaryLoss', head=dict(type='RTMCCHead', ...), losses=[dict(
    type='ScoreMapBCELoss')])``. The head stays what it is, class, weights and predictions; only its ``loss`` gives
    more. Its checkpoints fit a head without these losses.

    Args:
        head: config of the head.
        losses: configs of :class:`ScoreMapBCELoss`, :class:`ScoreMapMSELoss` or :class:`BoxScoreLoss`, or of any module
            that takes (features, data samples) and returns a dict of losses.
        kwargs: what a detector adds to its head's config, such as ``train_cfg``.
    """
    module = MODELS.build({**head, **kwargs})
    module.__class__ = _with_auxiliary_losses(type(module))
    # In a config of MMDetection the default scope is another.
    module.auxiliary_losses = nn.ModuleList(MODELS.build(dict(loss, _scope_='mmpose')) for loss in losses)
    return module


@cache
def _with_auxiliary_losses(base: type[nn.Module]) -> type[nn.Module]:
    signature = inspect.signature(base.loss)

    def loss(self, *args, **kwargs) -> dict:
        arguments = signature.bind(self, *args, **kwargs).arguments
        feats, batch_data_samples = [*arguments.values()][1], arguments['batch_data_samples']
        if getattr(feats, 'score_map', None) is None:
            raise ValueError(f'the auxiliary losses of {base.__name__} find no score_map in its features; it stands '
                             'behind a neck that makes one: PromptLearnerNeck or DenseCLIPNeck')
        losses = base.loss(self, *args, **kwargs)
        for module in self.auxiliary_losses:
            losses.update(_new_names(module(feats, batch_data_samples), losses))
        return losses

    def __reduce_ex__(self, protocol: int) -> tuple:
        # The class is made here, so that pickle would not find it.
        return _rebuild, (base, ), self.__dict__

    names = dict(loss=loss, __reduce_ex__=__reduce_ex__, __doc__=base.__doc__, __module__=base.__module__)
    return type(base.__name__, (base, ), names)


def _rebuild(base: type[nn.Module]) -> nn.Module:
    derived = _with_auxiliary_losses(base)
    return derived.__new__(derived)


def _new_names(new: dict[str, Tensor], losses: dict) -> dict[str, Tensor]:
    """Numbers a loss whose name is taken."""
    return {next(key for key in (name, *(f'{name}_{index}' for index in range(1, 100))) if key not in losses): value
            for name, value in new.items()}
