"""Fills a BLIP from a Hugging Face folder or name, or from a checkpoint of ``BLIPCaptionPoseEstimator``."""
from __future__ import annotations

from pathlib import Path

from mmengine.logging import print_log
from torch import nn

from ..models.layers.transformers_extra import import_transformers
from .blip_architecture import read_state_dict
from .safe_loading import CheckpointError, first_line

PREFIX = 'blip.'


def load_blip_weights(model: nn.Module, source: str) -> None:
    """Loads into ``model``, a BlipForConditionalGeneration of the architecture that ``source`` has.

    Raises ``CheckpointError`` where tensors are missing, of other sizes, or a file is damaged.
    """
    path = Path(source).expanduser()
    state_dict, left_over = (_read_checkpoint(path), []) if path.is_file() else _read_hugging_face(model, source, path)
    try:
        model.load_state_dict(state_dict)
    except RuntimeError as error:
        raise CheckpointError(f'{source} does not fit the model: {" ".join(str(error).split())[:600]}') from error
    print_log(f'BLIP from {source}: {len(state_dict)} tensors loaded; left over: {_some(left_over)}',
              logger='current')


def _read_checkpoint(path: Path) -> dict:
    return {name[len(PREFIX):]: tensor for name, tensor in read_state_dict(path).items() if name.startswith(PREFIX)}


def _read_hugging_face(model: nn.Module, source: str, path: Path) -> tuple[dict, list[str]]:
    transformers = import_transformers()
    verbosity = transformers.logging.get_verbosity()
    # What is missing or left over is said here, in one line.
    transformers.logging.set_verbosity_error()
    try:
        found, info = transformers.BlipForConditionalGeneration.from_pretrained(
            str(path) if path.is_dir() else source, config=model.config, output_loading_info=True)
    except Exception as error:  # of many libraries: safetensors, pickle, huggingface_hub, httpx
        raise CheckpointError(f"the weights of pretrained='{source}' cannot be read (missing, truncated, or of another "
                              f'model): {first_line(error)}') from error
    finally:
        transformers.logging.set_verbosity(verbosity)
    missing = sorted(info['missing_keys'])
    if missing:
        raise CheckpointError(f"pretrained='{source}' lacks tensors of a captioning BLIP: {_some(missing)}")
    return found.state_dict(), sorted(info['unexpected_keys'])


def _some(names: list[str]) -> str:
    return ', '.join(names[:6]) + (f' and {len(names) - 6} more' if len(names) > 6 else '') or 'none'
