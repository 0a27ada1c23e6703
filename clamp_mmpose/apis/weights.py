from __future__ import annotations

from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from ..checkpoint import CheckpointError


def load_weights(model: nn.Module, path: str) -> dict:
    """Loads a checkpoint of MMEngine into ``model`` and returns its ``meta``.

    Raises ``CheckpointError`` for one that does not fill every parameter: MMEngine warns and goes on with random
    weights, whose poses nobody wants.
    """
    checkpoint = CheckpointLoader.load_checkpoint(str(path), map_location='cpu', logger='silent')
    state_dict = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(state_dict, dict) or not state_dict:
        raise CheckpointError(f'{path} holds no weights; a checkpoint is a file that MMPose or MMDetection has written')
    # A model trained by DistributedDataParallel may carry its name in front.
    weights = type(state_dict)((key.removeprefix('module.'), value) for key, value in state_dict.items())
    if hasattr(state_dict, '_metadata'):
        weights._metadata = state_dict._metadata
    try:
        missing = set(model.load_state_dict(weights, strict=False).missing_keys)
    except RuntimeError as error:  # of another shape
        raise CheckpointError(f'{path} does not fit the config: {" ".join(str(error).split())}') from None
    missing = [name for name, _ in model.named_parameters() if name in missing]
    if missing:
        some = ', '.join(missing[:3]) + (f' and {len(missing) - 3} more' if len(missing) > 3 else '')
        raise CheckpointError(f'{path} does not fit the config: it has no {some}')
    return checkpoint.get('meta') or {}
