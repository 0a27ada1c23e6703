"""Parameters and operations of a model as CLAMP's Table 7 counts them, without memory for its weights."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def build_without_memory(model: dict) -> nn.Module:
    """The estimator of a config's ``model`` in eval mode, on torch's meta device: shapes without values."""
    import torch
    from mmengine.registry import init_default_scope
    from mmpose.models import build_pose_estimator

    import clamp_mmpose  # noqa: F401  (registers the parts)
    init_default_scope('mmpose')
    with torch.device('meta'):
        return build_pose_estimator(model).eval()


def count_parameters(module: nn.Module) -> int:
    """All parameters of a module, frozen ones too."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_deployed(model: nn.Module) -> int:
    """Parameters that are needed to predict: not the text tower, nor the layers that upsample the score map."""
    left_out = [getattr(getattr(model, 'head', None), 'score_head', None)]
    prompts = getattr(getattr(model, 'neck', None), 'prompts', None)
    left_out.append(getattr(prompts, 'text_encoder', None))
    return count_parameters(model) - sum(count_parameters(module) for module in left_out if module is not None)


def count_operations(model: nn.Module, input_size: tuple[int, int]) -> int:
    """Operations of one image of ``input_size`` (W, H), by mmcv's hook counter, as in the paper.

    It sees convolutions, linear layers, batch and layer norms, ReLU and pooling of exactly torch's classes. It does not
    see attention (neither nn.MultiheadAttention's projections nor the attention pool's), CLIP's activations and its own
    subclass of LayerNorm. One multiplication with its addition counts as one operation.
    """
    import torch
    from mmcv.cnn import get_model_complexity_info
    width, height = input_size

    def inputs(shape: tuple[int, ...]) -> dict:
        return dict(inputs=torch.zeros(1, *shape, device='meta'), data_samples=None)

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of the counter's own doings
        operations, _ = get_model_complexity_info(
            model, (3, height, width), input_constructor=inputs, print_per_layer_stat=False, as_strings=False)
    return operations


def size_and_cost(cfg: dict) -> tuple[int, int]:
    """Deployed parameters and operations of a config, the text embedded beforehand and the prompt encoder run."""
    model = build_without_memory(cfg['model'])
    parameters = count_deployed(model)
    if hasattr(getattr(model, 'neck', None), 'fuse_text'):
        model.neck.fuse_text()
    return parameters, int(count_operations(model, cfg['codec']['input_size']))
