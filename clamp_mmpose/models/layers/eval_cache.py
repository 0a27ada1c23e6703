from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class EvalCache:
    """Keeps a tensor that depends on parameters alone, and computes it anew when one of them has changed.

    A change is an in-place update (an optimizer step, a loaded checkpoint), another tensor in its place, or another
    device or dtype. The value is computed in the parameters' own precision, whatever autocast says, and never under
    inference mode, so that it may take part in any later computation. With gradients enabled it stays differentiable:
    the backward pass computes it once more.
    """

    def __init__(self) -> None:
        self._key: tuple | None = None
        self._value: Tensor | None = None

    @torch.compiler.disable
    def __call__(self, compute: Callable[[], Tensor], sources: Iterable[Tensor]) -> Tensor:
        sources = tuple(sources)
        key = tuple((source.data_ptr(), source._version, source.device, source.dtype) for source in sources)
        if key != self._key:
            with torch.inference_mode(False), torch.no_grad(), torch.autocast(sources[0].device.type, enabled=False):
                self._value = compute()
            self._key = key
        trainable = [source for source in sources if source.requires_grad]
        if trainable and torch.is_grad_enabled():
            return _Recomputed.apply(self._value, compute, *trainable)
        return self._value

    def __deepcopy__(self, memo: dict) -> EvalCache:
        return EvalCache()

    def __getstate__(self) -> dict:
        return dict(_key=None, _value=None)


class _Recomputed(torch.autograd.Function):
    """A known value whose computation is only repeated if a gradient has to go through it."""

    @staticmethod
    def forward(ctx, value: Tensor, compute: Callable[[], Tensor], *sources: Tensor) -> Tensor:
        ctx.compute = compute
        ctx.sources = sources
        return value.clone()

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple:
        with torch.enable_grad():
            grads = torch.autograd.grad(ctx.compute(), ctx.sources, grad, allow_unused=True)
        return None, None, *grads
