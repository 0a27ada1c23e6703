from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


class EvalCache:
    """Keeps a tensor that depends on parameters alone, and computes it anew when one of them has changed.

    A change is an in-place update (an optimizer step, a loaded checkpoint), another tensor in its place, or another
    device or dtype. What is written through ``.data`` leaves no trace: call :meth:`clear` after training. The value is
    computed in the parameters' own precision, whatever autocast says, and never under inference mode, so that it may
    take part in any later computation. With gradients enabled it stays differentiable: the backward pass computes it
    once more.
    """

    def __init__(self) -> None:
        self.clear()

    @torch.compiler.disable
    def __call__(self, compute: Callable[[], Tensor], sources: Iterable[Tensor]) -> Tensor:
        sources = tuple(sources)
        trainable = [source for source in sources if source.requires_grad]
        # Tensors made under inference mode count no versions, and what torch.func puts in a parameter's place is gone
        # when the backward pass would compute the value again.
        if any(source.is_inference() for source in sources) or not all(isinstance(s, nn.Parameter) for s in trainable):
            return compute()
        key = [(source.data_ptr(), source._version, source.device, source.dtype) for source in sources]
        if key != self._key or any(new is not old for new, old in zip(sources, self._sources)):
            with torch.inference_mode(False), torch.no_grad(), _no_autocast(sources[0].device.type):
                self._value = compute()
            # The tensors are kept too: the address of one that is gone may be given to another.
            self._key, self._sources = key, sources
        if trainable and torch.is_grad_enabled():
            return _Recomputed.apply(self._value, compute, *trainable)
        return self._value

    def clear(self) -> None:
        """Forgets the value."""
        self._key: list | None = None
        self._sources: tuple[Tensor, ...] = ()
        self._value: Tensor | None = None

    def __deepcopy__(self, memo: dict) -> EvalCache:
        return EvalCache()

    def __reduce__(self) -> tuple:
        return EvalCache, ()


def _no_autocast(device_type: str) -> AbstractContextManager:
    # torch's meta device, on which models are built to be measured, knows no autocast.
    if not torch.amp.is_autocast_available(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)


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
            grads = torch.autograd.grad(ctx.compute(), ctx.sources, grad)
        return None, None, *grads
