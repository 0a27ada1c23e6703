from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


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
        self._lengths = torch.zeros(len(image_embeds), 1, dtype=torch.long)
        self._kept = torch.zeros(len(image_embeds), 0, dtype=torch.long)
        self._cache = None

    def feed(self, chunks: Sequence[Sequence[int]]) -> Tensor:
        """The next tokens of each caption -> (B, longest chunk, V) logits of what follows each of them."""
        device = self.image_embeds.device
        counts = torch.tensor([[len(chunk)] for chunk in chunks])
        steps = torch.arange(int(counts.max()))
        given = steps < counts  # (B, longest chunk)
        ids = torch.zeros(given.shape, dtype=torch.long)
        ids[given] = torch.tensor([token for chunk in chunks for token in chunk])
        self._kept = torch.cat([self._kept, given.long()], dim=1)
        output = self.text_decoder(
            input_ids=ids.to(device),
            attention_mask=self._kept.to(device),
            position_ids=((self._lengths + steps) * given).to(device),
            encoder_hidden_states=self.image_embeds,
            past_key_values=self._cache,
            use_cache=True,
            return_dict=True)
        self._cache = output.past_key_values
        self._lengths += counts
        self.calls += 1
        return output.logits

    def keep(self, counts: Sequence[int], chunks: Sequence[Sequence[int]]) -> None:
        """How many tokens of each chunk fed last are right; the others are forgotten."""
        longest = max(map(len, chunks))
        for row, (count, chunk) in enumerate(zip(counts, chunks)):
            self._kept[row, self._kept.shape[1] - longest + count:] = 0
            self._lengths[row] -= len(chunk) - count
