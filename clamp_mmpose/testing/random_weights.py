from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase


def randomize(module: nn.Module, *, seed: int = 0) -> nn.Module:
    """Gives every parameter and statistic of ``module`` a random value, in place, and returns it.

    Fresh networks hide errors: weights that start at 0, norms that start as the identity. Matrices get the scale that
    lets deep networks neither vanish nor explode, and scalars keep their value. The values depend on ``seed`` and the
    module's layout alone.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(noise / parameter[0].numel()**0.5)
            elif parameter.ndim == 1:  # the weight of a norm, or any bias
                parameter.copy_(0.2 * noise + (1 if name.endswith('weight') else 0))
        for name, buffer in module.named_buffers():
            if name.endswith('running_mean'):
                buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
            elif name.endswith('running_var'):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return module


def calibrate_norms(module: nn.Module, run: Callable[[], object]) -> nn.Module:
    """Gives every batch norm of ``module`` the statistics of what passes through it in ``run()``, and returns it.

    In a deep network of random weights and statistics almost nothing of the input arrives, forwards or backwards.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, _NormBase)]
    before = [(norm.momentum, norm.training) for norm in norms]
    for norm in norms:
        norm.momentum, norm.training = 1.0, True
    try:
        with torch.no_grad():
            run()
    finally:
        for norm, (momentum, training) in zip(norms, before):
            norm.momentum, norm.training = momentum, training
    return module
