"""What a head needs so that its parameters can be adapted to each image, and calling it with such parameters."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from mmpose.utils.typing import Features
from torch import Tensor, nn
from torch.func import functional_call, vmap

_REQUIRED = ('adaptable_parameters', 'adaptation_loss')


class AdaptableHead(Protocol):
    """Two methods make any head of MMPose adaptable; it need not inherit from here.

    A head may have more, which are used where they are found:

    - ``prepare_adaptation(feats, images) -> feats``, a tuple of tensors: what all steps share is computed once, and
      ``forward`` and ``adaptation_loss`` get the result in place of the neck's features;
    - ``auxiliary_loss(feats, images) -> (B, )``: the loss to train with, where it is another than the one to adapt by;
    - ``forward_and_auxiliary_loss(feats, images)``: the output of ``forward`` and that loss, where they have layers in
      common that need not run twice;
    - ``frozen_modules``, ``auxiliary_modules``: names of modules that are frozen after the joint stage, and of those
      that serve the adaptation alone.
    """

    def adaptable_parameters(self) -> dict[str, Tensor]:
        """The parameters to adapt, by their names in ``named_parameters()``."""

    def adaptation_loss(self, feats: Features, images: Tensor) -> Tensor:
        """(B, ): a loss of each image that needs no labels. The same image must always have the same one."""


def missing_for_adaptation(head: nn.Module | None) -> list[str]:
    """What a head lacks to be an :class:`AdaptableHead`, in words; empty if nothing."""
    if head is None:
        return ['a head']
    missing = [f'{name}()' for name in _REQUIRED if not callable(getattr(head, name, None))]
    if not missing and not head.adaptable_parameters():
        return ['any adaptable parameter: adaptable_parameters() is empty']
    return missing


def prepare_adaptation(head: AdaptableHead, feats: Features, images: Tensor) -> tuple:
    if hasattr(head, 'prepare_adaptation'):
        return head.prepare_adaptation(feats, images)
    # Tuples that carry more, such as VisionLanguageFeatures, cannot be taken apart image by image.
    return tuple(feats)


def forward_and_auxiliary_loss(head: AdaptableHead, feats: Features, images: Tensor) -> tuple:
    """The head's output, and (B, ), the loss of the self-supervised task, for training."""
    if hasattr(head, 'forward_and_auxiliary_loss'):
        return head.forward_and_auxiliary_loss(feats, images)
    return head(feats), getattr(head, 'auxiliary_loss', head.adaptation_loss)(feats, images)


def loss_of_one_image(head: AdaptableHead) -> Callable[..., Tensor]:
    """``loss_fn(params, feats, image)`` for :func:`adapt`; ``feats`` as :func:`prepare_adaptation` gives them."""
    caller = _Caller(head)

    def loss_fn(params: Mapping[str, Tensor], feats: tuple, image: Tensor) -> Tensor:
        return caller(params, 'adaptation_loss', _as_batch(feats), image[None])[0]

    return loss_fn


def forward_adapted(head: AdaptableHead, params: Mapping[str, Tensor], feats: tuple):
    """The head's output where image b of the batch has the parameters ``params[name][b]``."""
    caller = _Caller(head)

    def forward(params: Mapping[str, Tensor], feats: tuple):
        output = caller(params, 'forward', _as_batch(feats))
        return output[0] if isinstance(output, Tensor) else tuple(part[0] for part in output)

    return vmap(forward, randomness='different')(dict(params), feats)


class _Caller:
    """Calls any method of a module with other parameters, which torch does for ``forward`` alone."""

    def __init__(self, module: nn.Module) -> None:
        self.methods = _Methods(module)

    def __call__(self, params: Mapping[str, Tensor], method: str, *args):
        return functional_call(self.methods, {f'module.{name}': value for name, value in params.items()},
                               (method, *args))


class _Methods(nn.Module):

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, method: str, *args):
        return getattr(self.module, method)(*args)


def _as_batch(feats: tuple) -> tuple:
    parts = [feat[None] if isinstance(feat, Tensor) else _as_batch(feat) for feat in feats]
    return type(feats)(*parts) if hasattr(feats, '_fields') else tuple(parts)


def select(keep: Tensor, params: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``params`` of the images where ``keep`` (B, ) is true, ``others`` elsewhere; both name -> (B, ...)."""
    return {name: torch.where(keep.reshape(-1, *[1] * (value.ndim - 1)), value, others[name])
            for name, value in params.items()}
