"""Gradient steps that give each image of a batch parameters of its own. Pure functions on dicts of tensors.

Nothing here changes a tensor that it is given, but :func:`restore`. Training, hooks and inferencers call the same
functions; they run inside ``torch.no_grad()`` too, but not in inference mode, whose tensors have no gradients.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

Parameters = Mapping[str, Tensor]
LossFunction = Callable[..., Tensor]


class AdaptationStep(NamedTuple):
    """``params``: name -> (B, ...), one set per image; ``loss``: (B, ), the loss that they have."""

    params: dict[str, Tensor]
    loss: Tensor


def adapt(loss_fn: LossFunction,
          params: Parameters,
          *inputs,
          lr: float | Mapping[str, Tensor],
          steps: int,
          max_norm: float | None = None,
          create_graph: bool = False) -> dict[str, Tensor]:
    """Takes ``steps`` steps of gradient descent on the loss of each image and returns name -> (B, ...).

    Args:
        loss_fn: ``loss_fn(params, *inputs)``, the loss of one image, a scalar; it gets the inputs without their batch
            dimension. It must not write into tensors, as batch norm in training mode does.
        params: name -> tensor, shared by the images until the first step.
        inputs: tensors, or tuples of tensors, whose first dimension is the batch.
        lr: the step size, greater than 0, or one of them per name: tensors that broadcast to the parameter's shape.
        steps: 0 or more.
        max_norm: gradients of an image that are longer, all of them as one vector, are shortened to it.
        create_graph: the result is differentiable through the gradients too (second order). Without, gradients are
            constants (first order): the result is differentiable with respect to ``params`` and ``lr`` alone, and no
            graph of the steps is kept.

    Raises:
        ValueError: for arguments that make no sense.
        RuntimeError: in inference mode, or for tensors made in it.
    """
    _check(params, inputs, lr, steps, max_norm)
    batched = False
    for _ in range(steps):
        gradients, _ = _gradients(loss_fn, params, inputs, batched, create_graph)
        params, batched = _descend(params, gradients, lr, max_norm), True
    return dict(params) if batched else _expand(params, _batch_size(inputs))


def adaptation_steps(loss_fn: LossFunction,
                     params: Parameters,
                     *inputs,
                     lr: float | Mapping[str, Tensor],
                     steps: int,
                     max_norm: float | None = None,
                     create_graph: bool = False) -> Iterator[AdaptationStep]:
    """As :func:`adapt`, but gives the parameters and their loss after 0, 1, ..., ``steps`` steps.

    The last loss costs one more forward pass.
    """
    _check(params, inputs, lr, steps, max_norm)
    return _walk(loss_fn, params, inputs, lr, steps, max_norm, create_graph)


def snapshot(params: Parameters) -> dict[str, Tensor]:
    """A copy that later changes of ``params`` do not reach."""
    return {name: value.detach().clone() for name, value in params.items()}


def restore(params: Parameters, saved: Parameters) -> None:
    """Writes ``saved``, a :func:`snapshot`, into the tensors of ``params``."""
    if params.keys() != saved.keys():
        raise ValueError(f'saved has other names than params: {_some(params.keys() ^ saved.keys())}')
    for name, value in params.items():
        if value.shape != saved[name].shape:
            raise ValueError(f"saved['{name}'] is {tuple(saved[name].shape)}, params has {tuple(value.shape)}")
    with torch.no_grad():
        for name, value in params.items():
            value.copy_(saved[name])


def check_steps(steps: int, where: str = '') -> None:
    if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 0:
        raise ValueError(f'steps={steps!r}{where} must be a whole number (an int), 0 or more')


def is_positive(number: float) -> bool:
    return isinstance(number, Real) and number > 0 and math.isfinite(number)


def check_max_norm(max_norm: float | None) -> None:
    if max_norm is not None and not is_positive(max_norm):
        raise ValueError(f'max_norm={max_norm!r} must be greater than 0, or None for no limit')


def _walk(loss_fn, params, inputs, lr, steps, max_norm, create_graph) -> Iterator[AdaptationStep]:
    # No context of gradient mode may stay open while the caller has the turn.
    batched = False
    for _ in range(steps):
        gradients, loss = _gradients(loss_fn, params, inputs, batched, create_graph)
        yield AdaptationStep(dict(params) if batched else _expand(params, len(loss)), loss)
        params, batched = _descend(params, gradients, lr, max_norm), True
    with torch.set_grad_enabled(create_graph and torch.is_grad_enabled()):
        loss = vmap(loss_fn, _in_dims(inputs, batched), randomness='different')(dict(params), *inputs)
    yield AdaptationStep(dict(params) if batched else _expand(params, len(loss)), loss)


def _gradients(loss_fn, params, inputs, batched, create_graph) -> tuple[dict[str, Tensor], Tensor]:
    """The gradient and the loss of each image, (B, ...) and (B, )."""
    function = vmap(grad_and_value(loss_fn), _in_dims(inputs, batched), randomness='different')
    # torch.func.grad differentiates whatever the mode; the mode says whether the outside can differentiate its result.
    with torch.set_grad_enabled(create_graph and torch.is_grad_enabled()):
        return function(dict(params), *inputs)


def _descend(params: Parameters, gradients: Parameters, lr: float | Mapping[str, Tensor],
             max_norm: float | None) -> dict[str, Tensor]:
    if max_norm is not None:
        gradients = _shorten(gradients, max_norm)
    rates = lr if isinstance(lr, Mapping) else dict.fromkeys(params, lr)
    return {name: value - rates[name] * gradients[name] for name, value in params.items()}


def _shorten(gradients: Parameters, max_norm: float) -> dict[str, Tensor]:
    squared = sum(gradient.reshape(len(gradient), -1).square().sum(1) for gradient in gradients.values())
    # The root of zero has no slope; below the limit the factor is 1 and has none either.
    factors = max_norm / squared.clamp(min=max_norm**2).sqrt()
    return {name: gradient * factors.reshape(-1, *[1] * (gradient.ndim - 1)) for name, gradient in gradients.items()}


def _in_dims(inputs: tuple, batched: bool) -> tuple:
    return (0 if batched else None, ) + (0, ) * len(inputs)


def _expand(params: Parameters, batch_size: int) -> dict[str, Tensor]:
    return {name: value.expand(batch_size, *value.shape) for name, value in params.items()}


def _batch_size(inputs: tuple) -> int:
    return len(next(_tensors(inputs)))


def _tensors(value) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)


def _check(params: Parameters, inputs: tuple, lr: float | Mapping[str, Tensor], steps: int,
           max_norm: float | None) -> None:
    check_steps(steps)
    check_max_norm(max_norm)
    if not params:
        raise ValueError('params is empty: there is nothing to adapt')
    tensors = list(_tensors(inputs))
    if not tensors:
        raise ValueError('inputs hold no tensor; adapt(loss_fn, params, *inputs) needs a batch of images')
    if isinstance(lr, Mapping):
        if lr.keys() != params.keys():
            raise ValueError(f'lr has other names than params: {_some(params.keys() ^ lr.keys())}')
        for name, rate in lr.items():
            _check_rate(f"lr['{name}']", rate)
    else:
        _check_rate('lr', lr)
    if torch.is_inference_mode_enabled() or any(value.is_inference() for value in [*params.values(), *tensors]):
        raise RuntimeError('adaptation needs gradients, which tensors made in torch.inference_mode() never have; '
                           'run the whole model inside torch.no_grad() instead')


def _check_rate(name: str, rate: float | Tensor) -> None:
    smallest = rate.detach().min().item() if isinstance(rate, Tensor) else rate
    if not is_positive(smallest):
        shown = f'{smallest:g}' if isinstance(smallest, Real) else repr(smallest)
        raise ValueError(f'{name}={shown} must be greater than 0')


def _some(names) -> str:
    names = sorted(names)
    return ', '.join(names[:3]) + (f' and {len(names) - 3} more' if len(names) > 3 else '')
