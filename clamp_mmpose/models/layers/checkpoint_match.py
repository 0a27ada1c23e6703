from __future__ import annotations

from itertools import chain

from torch import Tensor, nn


def refuse_other_weights(part: nn.Module | Tensor, state_dict: dict[str, Tensor], prefix: str, argument: str) -> None:
    """Raises ValueError when the weights under ``prefix`` are not those of ``part``, which ``argument`` configures.

    MMEngine only warns of weights that are missing, left over or of another shape, and would go on with random ones. A
    checkpoint without this part is none of this function's business.
    """
    given = {key: value for key, value in state_dict.items() if key.startswith(prefix)}
    own = {prefix: part} if isinstance(part, Tensor) else {
        prefix + name: weight for name, weight in chain(part.named_parameters(), part.named_buffers())}
    for key in sorted(own.keys() | given.keys()) if given else ():
        there, here = (tuple(side[key].shape) if key in side else 'no such weight' for side in (given, own))
        if there != here and (key in given or isinstance(own[key], nn.Parameter)):
            raise ValueError(f'the checkpoint was written with another {argument}: {key} is {there} there, {here} here')
