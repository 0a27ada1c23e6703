"""CLIP as Hugging Face's transformers save it, under OpenAI's names. transformers itself is not needed."""
from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from torch import Tensor

# In order of preference. An index lists the files over which a large model is spread.
WEIGHT_FILES = ('model.safetensors', 'model.safetensors.index.json', 'pytorch_model.bin',
                'pytorch_model.bin.index.json', 'open_clip_model.safetensors', 'open_clip_pytorch_model.bin')

RENAMED = [(re.compile(pattern), name) for pattern, name in (
    (r'^vision_model\.embeddings\.class_embedding$', 'visual.class_embedding'),
    (r'^vision_model\.embeddings\.patch_embedding\.', 'visual.conv1.'),
    (r'^vision_model\.embeddings\.position_embedding\.weight$', 'visual.positional_embedding'),
    (r'^vision_model\.pre_layrnorm\.', 'visual.ln_pre.'),  # the misspelling is theirs
    (r'^vision_model\.post_layernorm\.', 'visual.ln_post.'),
    (r'^vision_model\.encoder\.layers\.', 'visual.transformer.resblocks.'),
    (r'^visual_projection\.weight$', 'visual.proj'),
    (r'^text_model\.embeddings\.token_embedding\.', 'token_embedding.'),
    (r'^text_model\.embeddings\.position_embedding\.weight$', 'positional_embedding'),
    (r'^text_model\.encoder\.layers\.', 'transformer.resblocks.'),
    (r'^text_model\.final_layer_norm\.', 'ln_final.'),
    (r'^text_projection\.weight$', 'text_projection'),
    (r'\.layer_norm([12])\.', r'.ln_\1.'),
    (r'\.self_attn\.', '.attn.'),
    (r'\.mlp\.fc1\.', '.mlp.c_fc.'),
    (r'\.mlp\.fc2\.', '.mlp.c_proj.'),
)]


def is_hugging_face(tensors: dict[str, Tensor]) -> bool:
    return any(name.startswith(('vision_model.', 'text_model.')) for name in tensors)


def to_openai_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames, joins the projections of each attention, and transposes the two embedding projections."""
    renamed = {}
    for name, tensor in tensors.items():
        if name.endswith('.position_ids'):
            continue
        for pattern, replacement in RENAMED:
            name = pattern.sub(replacement, name)
        renamed[name] = tensor.t() if name in ('visual.proj', 'text_projection') else tensor
    for name in [name for name in renamed if '.attn.q_proj.' in name]:
        parts = [name.replace('.q_proj.', f'.{part}_proj.') for part in 'qkv']
        if all(part in renamed for part in parts):
            renamed[name.replace('.q_proj.', '.in_proj_')] = torch.cat([renamed.pop(part) for part in parts])
    return renamed


def find_weight_files(folder: Path) -> list[Path]:
    """The files of the folder's weights; empty when it has none. Raises ValueError for an index that is not one."""
    for name in WEIGHT_FILES:
        path = folder / name
        if not path.is_file():
            continue
        if not name.endswith('.index.json'):
            return [path]
        try:
            listed = json.loads(path.read_text(encoding='utf-8'))['weight_map'].values()
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            raise ValueError(f'{path} does not list weight files: {error}') from error
        # Only names: an index must not lead out of its folder.
        return [folder / Path(listed_name).name for listed_name in sorted(set(listed))]
    return []


def read_config(folder: Path) -> dict:
    """The model's ``config.json``; empty when there is none. Raises ValueError when it is not of a CLIP model."""
    path = folder / 'config.json'
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is not JSON: {error}') from error
    model = config.get('model_type') if isinstance(config, dict) else None
    if model not in (None, 'clip', 'clip_vision_model', 'clip_text_model'):
        raise ValueError(f"{path} is of a model of type '{model}', not of CLIP (model_type 'clip')")
    return config if isinstance(config, dict) else {}


def uses_quick_gelu(config: dict, part: str) -> bool | None:
    """Whether the ``part`` ('visual' or 'text') was trained with QuickGELU; None when the config does not say."""
    if 'model_type' not in config:
        return None
    tower = config.get({'visual': 'vision_config', 'text': 'text_config'}[part], config)
    # transformers' own default, which files written by its older versions leave out.
    return {'quick_gelu': True, 'gelu': False}.get(tower.get('hidden_act', 'quick_gelu'))
