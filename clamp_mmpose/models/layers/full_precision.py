import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """``x`` in float32, or in float64 where it comes in that."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
