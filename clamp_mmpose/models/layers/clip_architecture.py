"""open_clip's architectures as data: what to build for a name or a dict, and how deep to drop paths in it."""
from __future__ import annotations

import dataclasses
import difflib
from copy import deepcopy

from torch import Tensor, nn

# Vision dropout of whole patches would leave holes in the feature maps.
_FORCED = {'vision': dict(patch_dropout=0.0), 'text': {}}


@dataclasses.dataclass(frozen=True)
class CLIPArchitecture:
    """One tower of a CLIP model: open_clip's name (None for a dict), its config and the width of the embedding."""

    name: str | None
    embed_dim: int
    quick_gelu: bool
    tower: dict


def resolve_architecture(arch: str | dict, part: str, *, quick_gelu: bool | None = None) -> CLIPArchitecture:
    """Looks up the ``part`` ('vision' or 'text') of ``arch``.

    ``arch`` is a model name of open_clip, or a dict of ``embed_dim``, optionally ``quick_gelu``, and the fields of
    open_clip's ``CLIPVisionCfg`` or ``CLIPTextCfg``. OpenAI's weights were trained with QuickGELU, which open_clip's
    names say with the suffix ``-quickgelu``; ``quick_gelu`` overrides it.

    Raises ValueError for an unknown name, an unknown field, or a tower that is not open_clip's own.
    """
    import open_clip
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg
    if isinstance(arch, str):
        config = open_clip.get_model_config(arch)
        if config is None:
            near = difflib.get_close_matches(arch, open_clip.list_models(), n=5, cutoff=0.4)
            raise ValueError(f"arch='{arch}' is not a model that open_clip knows; near it: {', '.join(near) or 'none'} "
                             '(open_clip.list_models() lists all)')
        name, embed_dim = arch, config['embed_dim']
        default_gelu, tower = config.get('quick_gelu', False), config[f'{part}_cfg']
    elif isinstance(arch, dict):
        tower = deepcopy(dict(arch))
        if 'embed_dim' not in tower:
            raise ValueError(f"arch={arch} lacks 'embed_dim', the width of the image-text embedding")
        name, embed_dim, default_gelu = None, tower.pop('embed_dim'), tower.pop('quick_gelu', False)
    else:
        raise ValueError(f'arch must be a model name of open_clip or a dict, not {type(arch).__name__}')

    known = {field.name for field in dataclasses.fields(CLIPVisionCfg if part == 'vision' else CLIPTextCfg)}
    unknown = sorted(set(tower) - known)
    if unknown:
        raise ValueError(f'arch has unknown fields {unknown}; open_clip knows {sorted(known)}')
    foreign = tower.get('timm_model_name') or tower.get('hf_model_name')
    if foreign:
        raise ValueError(f"arch='{arch}' has its {part} tower from another library ({foreign}); "
                         "choose one whose tower is open_clip's own, such as 'ViT-B-16-quickgelu' or 'RN50-quickgelu'")
    tower.update(_FORCED[part])
    return CLIPArchitecture(name, embed_dim, default_gelu if quick_gelu is None else quick_gelu, tower)


def add_stochastic_depth(branches: list[list[nn.Module]], rate: float, *, depth: int) -> None:
    """Drops residual branches of single images while training, from 0 at the first block to ``rate`` at the last.

    ``branches`` lists, for the first blocks of a tower of ``depth`` blocks, the modules whose output is added to the
    residual stream. They are hooked rather than wrapped, so that no parameter changes its name. A module that has its
    hook keeps it.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f'drop_path_rate={rate} must be in [0, 1)')
    for index, block in enumerate(branches):
        probability = rate * index / max(depth - 1, 1)
        for module in block:
            hooked = any(isinstance(hook, _StochasticDepth) for hook in module._forward_hooks.values())
            if probability > 0 and not hooked:
                module.register_forward_hook(_StochasticDepth(probability))


class _StochasticDepth:

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        from torchvision.ops import stochastic_depth
        return stochastic_depth(output, self.probability, 'row', training=module.training)
