from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor, nn

from ...structures import VisionLanguageFeatures
from ..layers import ContextDecoder, EvalCache, PromptEncoder, compute_score_map
from ..layers.checkpoint_match import refuse_other_weights
from ..text_encoders import TextPrompts


@MODELS.register_module()
class PromptLearnerNeck(BaseModule):
    """Asks the image for each keypoint by name: CLAMP's prompts, and the score map they give (Sec. 3.2).

    Learnable contexts and the keypoint's name (Eq. 2) go through the frozen text tower and a prompt encoder, then look
    at the image through a context decoder, whose output is added with a learnable weight. The cosine of these prompts
    with the image embedding of each position is the score map (Eq. 3, 4), which is appended to the last feature map
    (Eq. 9): a head behind this neck has ``in_channels = C + K``.

    Takes :class:`VisionLanguageFeatures` with ``dense`` and ``pooled``, and returns them with ``text`` (B, K, D) and
    ``score_map`` (B, K, h, w).

    The text embedding does not depend on the image. In eval mode it is computed once and kept until a weight, the names
    or the device change; :meth:`fuse_text` drops the text tower for good. Checkpoints carry the embedding too, so one
    written with the tower loads without it and the other way round.

    Args:
        keypoint_names: one name in natural language per keypoint, in the dataset's order.
        text_encoder: config of :class:`CLIPTextEncoder`; None learns a (K, D) matrix in place of text (Table 8).
        num_contexts: k of Eq. 2.
        context_std: standard deviation that the contexts start with.
        template: fixed text around the name, such as 'a photo of a {}', in place of learnable contexts.
        embed_dim: D of the learned matrix; only without ``text_encoder``.
        prompt_encoder: arguments of :class:`PromptEncoder`; None leaves it out (Table 6).
        context_decoder: arguments of :class:`ContextDecoder`; None leaves it out.
        gamma_init: starting weight of the context decoder's output.
    """

    def __init__(self,
                 keypoint_names: Sequence[str],
                 text_encoder: dict | None,
                 *,
                 num_contexts: int = 8,
                 context_std: float = 1.0,
                 template: str | None = None,
                 embed_dim: int | None = None,
                 prompt_encoder: dict | None = {},  # noqa: B006  (an empty config, never changed)
                 context_decoder: dict | None = {},  # noqa: B006
                 gamma_init: float = 1e-3,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.prompts = TextPrompts(
            keypoint_names,
            text_encoder,
            num_contexts=num_contexts,
            context_std=context_std,
            template=template,
            embed_dim=embed_dim)
        embed_dim = self.prompts.embed_dim
        self.prompt_encoder = None if prompt_encoder is None else PromptEncoder(embed_dim, **prompt_encoder)
        self.context_decoder = None if context_decoder is None else ContextDecoder(embed_dim, **context_decoder)
        if self.context_decoder is not None:
            self.gamma = nn.Parameter(torch.full((embed_dim, ), float(gamma_init)))
        self._cache = EvalCache()
        self._register_load_state_dict_pre_hook(self._match_checkpoint)

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        return self.prompts.names

    def forward(self, feats: VisionLanguageFeatures) -> VisionLanguageFeatures:
        dense, pooled = self._embeddings(feats)
        text = self.encode_text().expand(dense.shape[0], -1, -1)
        if self.context_decoder is not None:
            memory = torch.cat([pooled[:, None], dense.flatten(2).transpose(1, 2)], dim=1)
            text = text + self.gamma * self.context_decoder(text, memory)
        score_map = compute_score_map(dense, text)
        if score_map.shape[-2:] != feats[-1].shape[-2:]:
            raise ValueError(f'the last map of the backbone is {tuple(feats[-1].shape[-2:])} (h, w), its embedding '
                             f'{tuple(score_map.shape[-2:])}; out_indices must end with the last block or stage')
        fused = torch.cat([feats[-1], score_map], dim=1)
        return VisionLanguageFeatures((*feats[:-1], fused), dense=dense, pooled=pooled, text=text, score_map=score_map)

    def encode_text(self) -> Tensor:
        """The prompt embedding before it sees an image, (1, K, D); in eval mode computed once and kept."""
        return self._encode_text() if self.training else self._kept_text()

    def train(self, mode: bool = True) -> PromptLearnerNeck:
        super().train(mode)
        if mode:
            self._cache.clear()
        return self

    def _apply(self, *args, **kwargs) -> PromptLearnerNeck:
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

    def _embeddings(self, feats: VisionLanguageFeatures) -> tuple[Tensor, Tensor]:
        dense = getattr(feats, 'dense', None)
        pooled = getattr(feats, 'pooled', None)
        if dense is None or (pooled is None and self.context_decoder is not None):
            raise ValueError('PromptLearnerNeck needs the image embedding of its backbone: CLIPResNet or '
                             'CLIPVisionTransformer with with_embedding=True')
        if dense.shape[1] != self.prompts.embed_dim:
            raise ValueError(f'the image embedding has {dense.shape[1]} channels and the text embedding '
                             f'{self.prompts.embed_dim}; arch of backbone and text_encoder must be the same model')
        return dense, pooled
