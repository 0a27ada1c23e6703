from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor

from ..layers.checkpoint_match import refuse_other_weights
from ..layers.clip_architecture import CLIPArchitecture, resolve_architecture
from ..layers.packed_prompts import PackedPrompts


@MODELS.register_module()
class CLIPTextEncoder(BaseModule):
    """CLIP's text tower: prompts with learnable beginnings in, one embedding per prompt out.

    Wraps open_clip's text tower and tokenizer. The prompts come packed (:class:`PackedPrompts`), so that what they
    share is encoded once; the tower must therefore be causal, as CLIP's are.

    Args:
        arch: a model name of open_clip, or a dict of ``embed_dim``, optionally ``quick_gelu``, and the fields of
            open_clip's ``CLIPTextCfg``.
        context_length: tokens that a prompt may have, start, contexts, name and end together; at most the tower's own
            (77 for CLIP). 13, as released, leaves 5 for a name with its start and end beside 8 contexts.
        heads: overrides the number of attention heads. The released CLAMP runs ViT-L/14's text tower with 8, CLIP with
            12; the shapes are the same, so nothing else would tell.
        frozen: weights take no gradient and the tower stays in eval mode. Gradients still reach the contexts.
    """

    clip_part = 'text'

    def __init__(self,
                 arch: str | dict = 'ViT-B-16-quickgelu',
                 *,
                 context_length: int = 13,
                 heads: int | None = None,
                 frozen: bool = True,
                 quick_gelu: bool | None = None,
                 init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)
        architecture = resolve_architecture(arch, 'text', quick_gelu=quick_gelu)
        self.arch_name = architecture.name
        self.quick_gelu = architecture.quick_gelu
        self.embed_dim = architecture.embed_dim
        self.tower = _build_tower(architecture, context_length, heads)
        self.width = self.tower.width
        self.context_length = context_length
        self._register_load_state_dict_pre_hook(self._cut_loaded_positions)
        self._register_load_state_dict_pre_hook(self._refuse_another_tower)
        self.frozen = frozen
        if frozen:
            self.tower.requires_grad_(False)
            self.tower.eval()

    def forward(self, prompts: PackedPrompts, contexts: Tensor | None = None) -> Tensor:
        """Encodes ``prompts`` with ``contexts`` (B, k, W), or none where k is 0, to (B, K, D)."""
        tower = self.tower
        embedding = tower.token_embedding
        batch = 1 if contexts is None else contexts.shape[0]
        parts = [embedding(prompts.prefix).expand(batch, -1, -1), embedding(prompts.suffix).expand(batch, -1, -1)]
        if contexts is not None:
            parts.insert(1, contexts.to(parts[0].dtype))
        x = torch.cat(parts, dim=1) + tower.positional_embedding[prompts.positions]
        x = tower.transformer(x, attn_mask=prompts.mask)
        x = tower.ln_final(x[:, prompts.ends])
        projection = tower.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, torch.nn.Linear) else x @ projection

    def _cut_loaded_positions(self, state_dict: dict, prefix: str, *args) -> None:
        """A checkpoint's longer position table loses its last rows; of a shorter one there is nothing to make up."""
        table = state_dict.get(f'{prefix}tower.positional_embedding')
        if table is None or len(table) == self.context_length:
            return
        if len(table) < self.context_length:
            raise ValueError(f'context_length={self.context_length}, but the checkpoint has text positions for '
                             f'{len(table)} tokens; use context_length={len(table)} or less with it')
        state_dict[f'{prefix}tower.positional_embedding'] = table[:self.context_length]

    def _refuse_another_tower(self, state_dict: dict, prefix: str, *args) -> None:
        refuse_other_weights(self.tower, state_dict, f'{prefix}tower.', 'arch of text_encoder')

    def pack(self, names: Sequence[str], num_contexts: int) -> PackedPrompts:
        """Tokenizes ``names`` behind ``num_contexts`` learnable contexts.

        Raises ValueError for an empty name, or one whose prompt is longer than ``context_length`` tokens.
        """
        if num_contexts + 3 > self.context_length:
            raise ValueError(f'num_contexts={num_contexts} leaves no room for a name: context_length='
                             f'{self.context_length} holds start, contexts, name and end')
        tokenizer = _clip_tokenizer()
        tokens = []
        for name in names:
            ids = tokenizer.encode(name)
            if not ids:
                raise ValueError(f'the keypoint name {name!r} has no token; give it a word')
            if not {tokenizer.sot_token_id, tokenizer.eot_token_id}.isdisjoint(ids):
                raise ValueError(f'the keypoint name {name!r} spells a start or end token; use plain words')
            length = len(ids) + 2
            if num_contexts + length > self.context_length:
                raise ValueError(
                    f'the keypoint name {name!r} takes {length} tokens with start and end; the limit is '
                    f'{self.context_length - num_contexts} (context_length={self.context_length} less {num_contexts} '
                    f'learnable contexts). Shorten the name, or train with a larger context_length '
                    '(77 is the most that CLIP has positions for)')
            tokens.append(ids)
        return PackedPrompts(tokens, num_contexts, start=tokenizer.sot_token_id, end=tokenizer.eot_token_id)

    def train(self, mode: bool = True) -> CLIPTextEncoder:
        super().train(mode)
        if self.frozen:
            self.tower.eval()
        return self


def _build_tower(architecture: CLIPArchitecture, context_length: int, heads: int | None) -> torch.nn.Module:
    from open_clip.model import _build_text_tower
    config = dict(architecture.tower)
    native = config.get('context_length', 77)
    if not 3 <= context_length <= native:
        raise ValueError(f'context_length={context_length} must be in [3, {native}]; the text tower has {native} '
                         'positions')
    if config.get('no_causal_mask') or config.get('embed_cls') or config.get('pool_type', 'argmax') != 'argmax':
        raise ValueError(f"the text tower of arch='{architecture.name or architecture.tower}' is not causal with "
                         "pooling at the end token, as CLIP's are; choose a CLIP architecture such as "
                         "'ViT-B-16-quickgelu'")
    if config.get('hf_tokenizer_name'):
        raise ValueError(f"arch='{architecture.name or architecture.tower}' has a Hugging Face tokenizer, which would "
                         "need a download; choose one with CLIP's own, such as 'ViT-B-16-quickgelu'")
    config['context_length'] = context_length
    if heads is not None:
        width = config.get('width', 512)
        if width % heads:
            raise ValueError(f'heads={heads} does not divide the width {width} of the text tower')
        config['heads'] = heads
    return _build_text_tower(architecture.embed_dim, config, architecture.quick_gelu)


@cache
def _clip_tokenizer():
    # One for all: its tables take time to build, and would be copied with every model.
    import open_clip
    return open_clip.tokenizer.SimpleTokenizer()
