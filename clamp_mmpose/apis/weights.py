from __future__ import annotations

import textwrap
from itertools import chain

from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from ..checkpoint import CheckpointError


def load_weights(model: nn.Module, path: str) -> dict:
    """Loads a checkpoint of MMEngine into ``model`` and returns its ``meta``.

    Raises ``CheckpointError`` for one that does not fill every weight: MMEngine warns and goes on with random ones,
    whose poses nobody wants.
    """
    meta, missing = load_matching_weights(model, path)
    if missing:
        some = ', '.join(missing[:3]) + (f' and {len(missing) - 3} more' if len(missing) > 3 else '')
        raise CheckpointError(f'{path} does not fit the config: it has no {some}')
    return meta


def load_matching_weights(model: nn.Module, path: str) -> tuple[dict, list[str]]:
    """Loads what a checkpoint has of ``model``; returns its ``meta`` and the names of the weights that it lacks.

    Raises ``CheckpointError`` if it holds no weights, or one of another shape.
    """
    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location='cpu', logger='silent')
    state_dict = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(state_dict, dict) or not any(isinstance(value, Tensor) for value in state_dict.values()):
        raise CheckpointError(f'{path} holds no weights; a checkpoint is a file that MMPose or MMDetection has written')
    # A model trained by DistributedDataParallel may carry its name in front.
    weights = type(state_dict)((str(key).removeprefix('module.'), value) for key, value in state_dict.items())
    if hasattr(state_dict, '_metadata'):
        weights._metadata = state_dict._metadata
    try:
        missing = set(model.load_state_dict(weights, strict=False).missing_keys)
    except (RuntimeError, ValueError) as error:  # of another shape; a part may say more of it
        raise CheckpointError(f'{path} does not fit the config: {textwrap.shorten(str(error), 600)}') from None
    names = (name for name, _ in chain(model.named_parameters(), model.named_buffers()))
    # Older files lack batch norm's count of batches, which is no weight.
    missing = [name for name in names if name in missing and not name.endswith('num_batches_tracked')]
    return checkpoint.get('meta') or {}, missing
