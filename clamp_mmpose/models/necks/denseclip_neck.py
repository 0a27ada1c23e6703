from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmpose.registry import MODELS
from torch import Tensor

from ...structures import VisionLanguageFeatures
from ..layers import ContextDecoder, ViTPyramid, compute_score_map, full_precision
from ..layers.checkpoint_match import refuse_other_weights
from ..text_encoders import TextPrompts
from .language_neck import LanguageNeck, image_tokens

PROMPTING = ('post', 'pre', 'language', 'template')


@MODELS.register_module()
class DenseCLIPNeck(LanguageNeck):
    """Appends pixel-text score maps to the features of any backbone: DenseCLIP (Sec. 3).

    Each name becomes a prompt, whose cosine with the image embedding of every position is its score map (Eq. 2). The K
    maps are appended to one map of the backbone; the others pass through. Heads and necks of MMPose and MMDetection
    take the result as they take the backbone's, with K channels more.

    ``prompting`` is a row of Table 2:

    - 'post': learnable contexts; the text embedding looks at the image and is corrected by what it sees (Eq. 5, 6);
    - 'pre': learnable queries look at the image and become the contexts of the text tower (Eq. 4), which runs for every
      image, and can be neither cached nor fused;
    - 'language': learnable contexts alone (Eq. 3);
    - 'template': the fixed text of ``template`` around the name.

    The image embedding comes from a CLIP backbone, or is learned: ``embedding`` serves any backbone of MMPose or
    MMDetection. Returns :class:`VisionLanguageFeatures` with ``dense``, ``pooled``, ``text`` (B, K, D) and
    ``score_map`` (B, K, h, w), the cosine, whatever ``tau`` is. Other than in the paper (6 layers), the context decoder
    has the 3 layers of the released configs.

    Args:
        names: one name in natural language per keypoint or class, in the dataset's order.
        text_encoder: config of :class:`CLIPTextEncoder`.
        prompting: 'post', 'pre', 'language' or 'template'.
        num_contexts: N, learnable tokens (or queries) in front of each name.
        context_std: standard deviation that they start with.
        template: text around the name for ``prompting='template'``; None is 'a photo of a {}.'.
        context_decoder: arguments of :class:`ContextDecoder`.
        gamma_init: starting weight of the context decoder's output (Table 8).
        embedding: config of :class:`DenseAttentionPool` (the paper's) or :class:`DenseProjection`, which embeds the
            last map of a backbone that gives no embedding (CLIP's with ``with_embedding=False``, too).
        pyramid: arguments of :class:`ViTPyramid`, for detectors and other heads that want four strides of a ViT.
        score_index: the map that the score maps are appended to; they are resized to it where the sizes differ. None
            is the last one, with a pyramid that of the ViT's own stride.
        tau: what the appended cosines are divided by; the released detectors use 0.07, segmentation and pose 1.
        next_neck: config of a neck that takes the maps from here, such as FPN. What is carried along stays.
    """

    def __init__(self,
                 names: Sequence[str],
                 text_encoder: dict,
                 *,
                 prompting: str = 'post',
                 num_contexts: int = 8,
                 context_std: float = 1.0,
                 template: str | None = None,
                 context_decoder: dict = {},  # noqa: B006  (an empty config, never changed)
                 gamma_init: float = 1e-4,
                 embedding: dict | None = None,
                 pyramid: dict | None = None,
                 score_index: int | None = None,
                 tau: float = 1.0,
                 next_neck: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        if prompting not in PROMPTING:
            raise ValueError(f"prompting='{prompting}' must be one of {', '.join(PROMPTING)}")
        if not isinstance(tau, (int, float)) or tau <= 0:
            raise ValueError(f'tau={tau!r} must be a number above 0; 1.0 appends the cosine itself')
        if not isinstance(score_index, (int, type(None))):
            raise ValueError(f'score_index={score_index!r} must be the number of a map, or None')
        if template is not None and prompting != 'template':
            raise ValueError(f"template={template!r} belongs to prompting='template', but prompting='{prompting}'")
        for name, value in dict(text_encoder=text_encoder, context_decoder=context_decoder).items():
            if not isinstance(value, dict):
                raise ValueError(f'{name}={value!r} must be a config dict')
        if prompting == 'pre' and num_contexts < 1:
            raise ValueError(f"num_contexts={num_contexts} must be 1 or more for prompting='pre', whose contexts come "
                             'from the image')
        prompts = TextPrompts(
            names,
            text_encoder,
            num_contexts=num_contexts,
            context_std=context_std,
            template=(template or 'a photo of a {}.') if prompting == 'template' else None,
            static=prompting != 'pre',
            argument='names')
        embed_dim = prompts.embed_dim
        super().__init__(
            prompts,
            prompt_encoder=None,
            context_decoder=ContextDecoder(embed_dim, **context_decoder) if prompting == 'post' else None,
            gamma_init=gamma_init,
            embedding=embedding,
            init_cfg=init_cfg)
        self.visual_contexts = None
        if prompting == 'pre':
            self.visual_contexts = ContextDecoder(
                prompts.text_encoder.width, memory_dim=embed_dim, **context_decoder)
        self.pyramid = None if pyramid is None else ViTPyramid(**pyramid)
        self.score_index = score_index if score_index is not None else -1 if pyramid is None else 2
        self.tau = tau
        self.next_neck = None if next_neck is None else MODELS.build(next_neck)

    def forward(self, feats: Sequence[Tensor]) -> VisionLanguageFeatures:
        dense, pooled = self.image_embedding(feats)
        text = self.prompt(dense, pooled)
        score_map = compute_score_map(dense, text)
        maps = list(feats if self.pyramid is None else self.pyramid(feats))
        self._append(maps, score_map)
        if self.next_neck is not None:
            self._check_channels(maps)
            maps = self.next_neck(tuple(maps))
        return VisionLanguageFeatures(maps, dense=dense, pooled=pooled, text=text, score_map=score_map)

    def prompt(self, dense: Tensor, pooled: Tensor) -> Tensor:
        if self.visual_contexts is None:
            return super().prompt(dense, pooled)
        queries = self.prompts.contexts.expand(dense.shape[0], -1, -1)
        return self.prompts(self.visual_contexts(queries, image_tokens(dense, pooled)))

    def switch_to_deploy(self, test_cfg: dict | None = None) -> None:
        if self.visual_contexts is None:
            super().switch_to_deploy(test_cfg)
        else:
            MMLogger.get_current_instance().warning("the text tower stays: prompting='pre' runs it for every image")

    def _match_checkpoint(self, state_dict: dict, prefix: str, *args) -> None:
        super()._match_checkpoint(state_dict, prefix, *args)
        if self.visual_contexts is not None:
            refuse_other_weights(
                self.visual_contexts, state_dict, f'{prefix}visual_contexts.', 'context_decoder')
        pre = any(key.startswith(f'{prefix}visual_contexts.') for key in state_dict)
        if pre != (self.visual_contexts is not None) and f'{prefix}prompts.contexts' in state_dict:
            there, here = ("is 'pre'", "is not") if pre else ("is not 'pre'", 'is')
            raise ValueError(f'the checkpoint was written with another prompting: there it {there}, here it {here}')

    def _check_channels(self, maps: list[Tensor]) -> None:
        expected = getattr(self.next_neck, 'in_channels', None)
        channels = [x.shape[1] for x in maps]
        # Some necks list their channels from the coarsest map on.
        if isinstance(expected, (list, tuple)) and sorted(expected) != sorted(channels):
            raise ValueError(f'in_channels={list(expected)} of next_neck, but it gets maps of {channels} channels: map '
                             f'{self.score_index} has {len(self.prompts.names)} more than the backbone gives, one per '
                             'name')

    def _append(self, maps: list[Tensor], score_map: Tensor) -> None:
        if not -len(maps) <= self.score_index < len(maps):
            raise ValueError(f'score_index={self.score_index}, but the backbone gives {len(maps)} maps')
        target = maps[self.score_index]
        scores = score_map / self.tau
        if scores.shape[-2:] != target.shape[-2:]:
            scores = F.interpolate(full_precision(scores), size=target.shape[-2:], mode='bilinear').to(scores.dtype)
        maps[self.score_index] = torch.cat([target, scores], dim=1)
