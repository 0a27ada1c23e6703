from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpose.registry import MODELS

from ...structures import VisionLanguageFeatures
from ..layers import ContextDecoder, PromptEncoder, compute_score_map
from ..text_encoders import TextPrompts
from .language_neck import LanguageNeck


@MODELS.register_module()
class PromptLearnerNeck(LanguageNeck):
    """Asks the image for each keypoint by name: CLAMP's prompts, and the score map they give (Sec. 3.2).

    Learnable contexts and the keypoint's name (Eq. 2) go through the frozen text tower and a prompt encoder, then look
    at the image through a context decoder, whose output is added with a learnable weight. The cosine of these prompts
    with the image embedding of each position is the score map (Eq. 3, 4), which is appended to the last feature map
    (Eq. 9): a head behind this neck has ``in_channels = C + K``.

    Takes :class:`VisionLanguageFeatures` with ``dense`` and ``pooled``, and returns them with ``text`` (B, K, D) and
    ``score_map`` (B, K, h, w).

    The text embedding is computed once in eval mode and can be fused, see :class:`LanguageNeck`.

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
        embedding: config of :class:`DenseAttentionPool` or :class:`DenseProjection`, which learns an image embedding
            for a backbone that gives none.
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
                 embedding: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        prompts = TextPrompts(
            keypoint_names,
            text_encoder,
            num_contexts=num_contexts,
            context_std=context_std,
            template=template,
            embed_dim=embed_dim)
        embed_dim = prompts.embed_dim
        super().__init__(
            prompts,
            prompt_encoder=None if prompt_encoder is None else PromptEncoder(embed_dim, **prompt_encoder),
            context_decoder=None if context_decoder is None else ContextDecoder(embed_dim, **context_decoder),
            gamma_init=gamma_init,
            embedding=embedding,
            init_cfg=init_cfg)

    def forward(self, feats: VisionLanguageFeatures) -> VisionLanguageFeatures:
        dense, pooled = self.image_embedding(feats)
        text = self.prompt(dense, pooled)
        score_map = compute_score_map(dense, text)
        if score_map.shape[-2:] != feats[-1].shape[-2:]:
            raise ValueError(f'the last map of the backbone is {tuple(feats[-1].shape[-2:])} (h, w), its embedding '
                             f'{tuple(score_map.shape[-2:])}; out_indices must end with the last block or stage')
        fused = torch.cat([feats[-1], score_map], dim=1)
        return VisionLanguageFeatures((*feats[:-1], fused), dense=dense, pooled=pooled, text=text, score_map=score_map)
