from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor, nn

from ..layers import ContextDecoder, EvalCache, PromptEncoder
from ..layers.checkpoint_match import refuse_other_weights
from ..text_encoders import TextPrompts


class LanguageNeck(BaseModule):
    """What the necks that ask an image by name share: prompts, their cached embedding, and a look at the image.

    The text embedding does not depend on the image. In eval mode it is computed once and kept until a weight, the names
    or the device change; :meth:`fuse_text` drops the text tower for good. Checkpoints carry the embedding too, so one
    written with the tower loads without it and the other way round.

    Args:
        prompts: one embedding per name, of D channels.
        prompt_encoder: lets the prompts see each other, or None.
        context_decoder: lets the prompts see the image, or None. Its output is added with a learnable weight.
        gamma_init: what that weight starts with.
        embedding: config of :class:`DenseAttentionPool` or :class:`DenseProjection`, which embeds the last map of a
            backbone that gives no embedding.
    """

    def __init__(self,
                 prompts: TextPrompts,
                 *,
                 prompt_encoder: PromptEncoder | None,
                 context_decoder: ContextDecoder | None,
                 gamma_init: float,
                 embedding: dict | None,
                 init_cfg: dict | None) -> None:
        super().__init__(init_cfg)
        self.prompts = prompts
        self.prompt_encoder = prompt_encoder
        self.context_decoder = context_decoder
        if context_decoder is not None:
            self.gamma = nn.Parameter(torch.full((prompts.embed_dim, ), float(gamma_init)))
        self.embedding = None
        if embedding is not None:
            if not isinstance(embedding, dict) or embedding.get('embed_dim', prompts.embed_dim) != prompts.embed_dim:
                raise ValueError(f'embedding={embedding!r} must be a config dict, with embed_dim={prompts.embed_dim} '
                                 'as the text has it, or without')
            # In a config of MMDetection the default scope is another.
            self.embedding = MODELS.build(dict(embedding, embed_dim=prompts.embed_dim, _scope_='mmpose'))
        self._cache = EvalCache()
        self._register_load_state_dict_pre_hook(self._match_checkpoint)

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """The names it asks for: of keypoints in a pose model, of classes in a detector."""
        return self.prompts.names

    def image_embedding(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """``dense`` and ``pooled``, the backbone's or learned; ValueError where they are missing or do not fit."""
        if self.embedding is not None:
            channels = feats[-1].shape[1]
            if channels != self.embedding.in_channels:
                raise ValueError(f'in_channels={self.embedding.in_channels} of embedding, but the last map of the '
                                 f'backbone has {channels} channels')
            return self.embedding(feats[-1])
        dense = getattr(feats, 'dense', None)
        pooled = getattr(feats, 'pooled', None)
        if dense is None or (pooled is None and self.context_decoder is not None):
            raise ValueError(f'{type(self).__name__} needs the image embedding of its backbone: CLIPResNet or '
                             'CLIPVisionTransformer with with_embedding=True; for any other, '
                             "embedding=dict(type='DenseAttentionPool', in_channels=...) learns one")
        if dense.shape[1] != self.prompts.embed_dim:
            raise ValueError(f'the image embedding has {dense.shape[1]} channels and the text embedding '
                             f'{self.prompts.embed_dim}; arch of backbone and text_encoder must be the same model')
        return dense, pooled

    def prompt(self, dense: Tensor, pooled: Tensor | None) -> Tensor:
        """The prompts after they have seen the image, (B, K, D). ``dense`` (B, D, h, w), ``pooled`` (B, D)."""
        text = self.encode_text().expand(dense.shape[0], -1, -1)
        if self.context_decoder is None:
            return text
        return text + self.gamma * self.context_decoder(text, image_tokens(dense, pooled))

    def encode_text(self) -> Tensor:
        """The prompt embedding before it sees an image, (1, K, D); in eval mode computed once and kept."""
        return self._encode_text() if self.training else self._kept_text()

    def train(self, mode: bool = True) -> LanguageNeck:
        super().train(mode)
        if mode:
            self._cache.clear()
        return self

    def _apply(self, *args, **kwargs) -> LanguageNeck:
        self._cache.clear()
        return super()._apply(*args, **kwargs)

    def fuse_text(self) -> None:
        """Drops the text tower and keeps its embedding, for deployment; the rest can still be trained."""
        self.prompts.fuse()
        self._cache.clear()

    def switch_to_deploy(self, test_cfg: dict | None = None) -> None:
        """What MMPose calls before it deploys a model."""
        self.fuse_text()

    def _match_checkpoint(self, state_dict: dict, prefix: str, *args) -> None:
        for name in ('prompt_encoder', 'context_decoder'):
            if getattr(self, name) is not None:
                refuse_other_weights(getattr(self, name), state_dict, f'{prefix}{name}.', name)

    def _encode_text(self) -> Tensor:
        text = self.prompts()
        return text if self.prompt_encoder is None else self.prompt_encoder(text)

    @torch.compiler.disable
    def _kept_text(self) -> Tensor:
        modules = [self.prompts] if self.prompt_encoder is None else [self.prompts, self.prompt_encoder]
        sources = [*chain.from_iterable(chain(module.parameters(), module.buffers()) for module in modules)]
        return self._cache(self._encode_text, sources)


def image_tokens(dense: Tensor, pooled: Tensor) -> Tensor:
    """What a context decoder looks at: the pooled embedding, then that of every position, (B, 1 + h * w, D)."""
    return torch.cat([pooled[:, None], dense.flatten(2).transpose(1, 2)], dim=1)
