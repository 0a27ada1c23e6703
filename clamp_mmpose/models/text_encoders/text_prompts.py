from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor, nn

from ..layers.checkpoint_match import refuse_other_weights


class TextPrompts(BaseModule):
    """One text embedding per name: learnable contexts, the name, and the text tower (Eq. 2 of CLAMP).

    ``forward`` gives (1, K, D). Without ``text_encoder`` the embedding is a learned (K, D) matrix (CLAMP's Table 8);
    after :meth:`fuse` it is a constant and the text tower is gone. A checkpoint always carries the embedding, so it
    loads into a fused module, and one written by a fused module fuses the module that loads it.

    Args:
        names: natural-language names, K different ones.
        text_encoder: config of :class:`CLIPTextEncoder`, or None.
        num_contexts: learnable tokens in front of each name.
        context_std: standard deviation of the normal, cut at twice its value, that the contexts start from. The
            released CLAMP has 1, which is large beside CLIP's token embeddings (0.02, which CoOp uses).
        argument: what the caller calls ``names``, for errors.
        static: the embedding does not depend on the image, so checkpoints carry it and it can be fused. False where
            the contexts are computed from the image and given to ``forward``.
        template: fixed text with one '{}' for the name; then there are no learnable contexts.
        embed_dim: D of the learned matrix.
    """

    def __init__(self,
                 names: Sequence[str],
                 text_encoder: dict | None,
                 *,
                 num_contexts: int = 8,
                 context_std: float = 1.0,
                 template: str | None = None,
                 embed_dim: int | None = None,
                 static: bool = True,
                 argument: str = 'keypoint_names') -> None:
        super().__init__()
        self._argument = argument
        _check_names(names, argument)
        if template is not None and template.count('{}') != 1:
            raise ValueError(f"template={template!r} must hold '{{}}' once, where the name goes")
        if num_contexts < 0:
            raise ValueError(f'num_contexts={num_contexts} must be 0 or more')
        self.names = tuple(names)
        self.template = template
        self.num_contexts = num_contexts if template is None and text_encoder is not None else 0
        if text_encoder is None:
            if embed_dim is None:
                raise ValueError('without text_encoder the learned matrix needs embed_dim, the width of the image '
                                 "embedding (for example 1024 for CLIP's RN50, 512 for ViT-B/16)")
            self.text_encoder = None
            self.embed_dim = embed_dim
            self.embedding = nn.Parameter(torch.empty(len(names), embed_dim))
            nn.init.trunc_normal_(self.embedding, std=0.02)
            return
        # In a config of MMDetection the default scope is another.
        self.text_encoder = MODELS.build(dict(text_encoder, _scope_='mmpose'))
        self.embed_dim = self.text_encoder.embed_dim
        if embed_dim not in (None, self.embed_dim):
            raise ValueError(f'embed_dim={embed_dim} differs from the {self.embed_dim} of text_encoder; leave it out')
        if self.num_contexts:
            self.contexts = nn.Parameter(torch.empty(1, self.num_contexts, self.text_encoder.width))
            nn.init.trunc_normal_(self.contexts, std=context_std, a=-2 * context_std, b=2 * context_std)
        self.packed = self._pack()
        self.static = static
        self._register_state_dict_hook(_save_embedding)
        self._register_load_state_dict_pre_hook(self._match_checkpoint)

    def forward(self, contexts: Tensor | None = None) -> Tensor:
        """``contexts`` (B, k, W) in place of the learnable ones give (B, K, D)."""
        if self.text_encoder is None:
            return self.embedding[None]
        if contexts is None and self.num_contexts:
            contexts = self.contexts
        return self.text_encoder(self.packed, contexts)

    def set_names(self, names: Sequence[str]) -> None:
        """Asks for other keypoints; K may change. Not after :meth:`fuse`, nor with a learned matrix."""
        if self.text_encoder is None:
            raise ValueError('the names cannot change without a text tower: it was fused, or a matrix was learned in '
                             'its place')
        _check_names(names, self._argument)
        self.names = tuple(names)
        self.packed = self._pack().to(self.packed.mask.device)

    def fuse(self) -> None:
        """Replaces the text tower and the contexts by the embedding they give now."""
        if self.text_encoder is not None:
            if not self.static:
                raise ValueError("the text embedding cannot be fused: with prompting='pre' the contexts come from each "
                                 "image, so the text tower must run for each; prompting='post' can be fused")
            with torch.no_grad():
                self._fuse(self.forward()[0])

    def _fuse(self, embedding: Tensor) -> None:
        if self.num_contexts:
            del self.contexts
        del self.packed
        self.text_encoder = None
        self.num_contexts = 0
        self.register_buffer('embedding', embedding.detach().clone())

    def _pack(self):
        names = self.names if self.template is None else [self.template.format(name) for name in self.names]
        return self.text_encoder.pack(names, self.num_contexts)

    def _match_checkpoint(self, state_dict: dict, prefix: str, local_metadata: dict, *args) -> None:
        tower_keys = [key for key in state_dict if key.startswith((f'{prefix}text_encoder.', f'{prefix}contexts'))]
        embedding = state_dict.get(f'{prefix}embedding')
        if embedding is not None and (self.text_encoder is None or not tower_keys):
            names = local_metadata.get('keypoint_names', self.names)
            if names != self.names or len(embedding) != len(self.names):
                raise ValueError(f'the checkpoint holds text embeddings of {len(embedding)} keypoints, {names}, and '
                                 f'{self._argument} asks for {len(self.names)}, {self.names}; without a text tower on '
                                 'both sides they must be the same')
        if self.text_encoder is None:
            # The tower is gone; the checkpoint's embedding takes its place.
            if embedding is not None:
                for key in tower_keys:
                    del state_dict[key]
        elif tower_keys:
            state_dict.pop(f'{prefix}embedding', None)
            if self.num_contexts:
                refuse_other_weights(self.contexts, state_dict, f'{prefix}contexts', 'num_contexts or text_encoder')
            self._compare_names(local_metadata.get('keypoint_names', self.names))
        elif embedding is not None:
            if not self.static:
                raise ValueError("the checkpoint has no text tower, which prompting='pre' runs for every image; it was "
                                 'fused, and loads into the prompting it was trained with')
            MMLogger.get_current_instance().warning(
                'The checkpoint has text embeddings but no text tower: the tower is dropped, and the prompts are '
                'constants from here on.')
            self._fuse(embedding.new_empty(embedding.shape, device=self.packed.mask.device))

    def _compare_names(self, trained: tuple[str, ...]) -> None:
        """With the text tower other names are allowed, but those in another order are hardly meant."""
        if trained != self.names and set(trained) & set(self.names):
            moved = [name for name, other in zip(self.names, trained) if name != other and name in trained]
            if moved:
                MMLogger.get_current_instance().warning(
                    f'The checkpoint was trained with the keypoints in another order: {moved} have other places in '
                    f'{list(trained)} than in {self._argument}={list(self.names)}. A head goes by the place, unless it '
                    'predicts from the score map alone (matching_only).')


def _save_embedding(module: TextPrompts, state_dict: dict, prefix: str, local_metadata: dict) -> None:
    local_metadata['keypoint_names'] = module.names
    if module.text_encoder is not None and module.static:
        with torch.no_grad():
            state_dict[f'{prefix}embedding'] = module()[0]


def _check_names(names: Sequence[str], argument: str) -> None:
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise ValueError(f'{argument}={names!r} must be a list of names, one per keypoint or class')
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f'{argument} has {name!r}; every name must be a non-empty string')
        if not name.isprintable():
            raise ValueError(f'{argument} has {name!r}, with characters that cannot be seen; use plain words')
    repeated = [name for name, count in Counter(map(_plain, names)).items() if count > 1]
    if repeated:
        raise ValueError(f'{argument} has {repeated} more than once; each prompt must tell its name from the others')


def _plain(name: str) -> str:
    return ' '.join(name.lower().replace('_', ' ').replace('-', ' ').split())
