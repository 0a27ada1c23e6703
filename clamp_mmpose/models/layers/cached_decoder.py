from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Chunk(NamedTuple):
    """Tokens for one caption. parents: the place in the chunk of what stands before each, -1 for what was fed before.

    Tokens with one parent are alternatives that do not see one another.
    """
    tokens: list[int]
    parents: list[int]

    @classmethod
    def line(cls, tokens: Sequence[int]) -> Chunk:
        return cls(list(tokens), list(range(-1, len(tokens) - 1)))


class CachedDecoder:
    """Feeds a BLIP text decoder tokens for several captions at once, with a key-value cache, and can take tokens back.

    Each caption may get another number of tokens in a call, or none. What is taken back is masked and stays in the
    cache, so that the cache of any transformers version fits.

    text_decoder: BlipTextLMHeadModel, in eval mode. image_embeds: (B, N, C).
    calls: of the decoder so far; a call for all captions counts once.
    """

    def __init__(self, text_decoder: nn.Module, image_embeds: Tensor) -> None:
        self.text_decoder, self.image_embeds = text_decoder, image_embeds
        self.calls = 0
        # (B, tokens in the cache), and how many of these were there before the last call.
        self._seen, self._before = torch.zeros(len(image_embeds), 0, dtype=torch.bool), 0
        self._cache = None

    def feed(self, chunks: Sequence[Chunk]) -> Tensor:
        """The next tokens of each caption -> (B, longest chunk, V) logits of what follows each of them."""
        device = self.image_embeds.device
        longest = max(len(chunk.tokens) for chunk in chunks)
        ids = torch.zeros(len(chunks), longest, dtype=torch.long)
        # What does not exist sees itself, so that its softmax has something to sum over.
        seen = torch.eye(longest, dtype=torch.bool).repeat(len(chunks), 1, 1)
        for row, (tokens, parents) in enumerate(chunks):
            ids[row, :len(tokens)] = torch.tensor(tokens, dtype=torch.long)
            for place, parent in enumerate(parents):
                if parent >= 0:
                    seen[row, place] |= seen[row, parent]
        before = self._seen.sum(dim=1, keepdim=True)
        exists = torch.arange(longest) < torch.tensor([[len(chunk.tokens)] for chunk in chunks])
        positions = (before + seen.sum(dim=2) - 1) * exists
        seen = torch.cat([self._seen[:, None].expand(-1, longest, -1), seen], dim=2)
        output = self.text_decoder(
            input_ids=ids.to(device),
            attention_mask=self._mask(seen).to(device),
            position_ids=positions.to(device),
            encoder_hidden_states=self.image_embeds,
            past_key_values=self._cache,
            use_cache=True,
            return_dict=True)
        self._cache = output.past_key_values
        self._before = self._seen.shape[1]
        self._seen = torch.cat([self._seen, exists], dim=1)
        self.calls += 1
        return output.logits

    def keep(self, places: Sequence[Sequence[int]]) -> None:
        """Which tokens of the chunks fed last are right; the others are forgotten."""
        fed = self._seen[:, self._before:]
        fed[:] = False
        for row, kept in enumerate(places):
            fed[row, list(kept)] = True

    def _mask(self, seen: Tensor) -> Tensor:
        """(B, tokens fed, tokens seen), bool -> as the model takes it."""
        if 'get_extended_attention_mask' in vars(type(self.text_decoder.bert)):  # transformers 4
            return seen.long()
        dtype = self.text_decoder.dtype
        return torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)[:, None]
