from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class CaptionAttention(NamedTuple):
    """What the tokens of one caption look at. Rows are queries, each sums to 1; T counts the start token too.

    self_attention: (T, T), of the tokens up to the row's own. cross_attention: (T, N), of the N image tokens, the
    class token first. With all H heads both start with an axis for them.
    """
    self_attention: Tensor
    cross_attention: Tensor


@torch.no_grad()
def caption_attention(text_decoder: nn.Module,
                      image_embeds: Tensor,
                      token_ids: Sequence[Tensor],
                      *,
                      layer: int,
                      head: int | None = None) -> list[CaptionAttention]:
    """Attention maps of one layer and head of the decoder, in one call over whole captions.

    Fig. 9 of the paper has the self-attention of head 8 of 12, of a layer that it does not name.

    text_decoder: Hugging Face's BlipTextLMHeadModel. image_embeds: (B, N, C). token_ids: of each caption, without start
    and end token. layer and head count from 0, negative ones from the end; head None gives all.
    """
    config = text_decoder.config
    for name, value, count in (('layer', layer, config.num_hidden_layers), ('head', head, config.num_attention_heads)):
        if value is not None and not -count <= value < count:
            raise ValueError(f'{name}={value} must be {-count} to {count - 1}')
    if not len(token_ids):
        return []
    rows = [torch.cat([torch.tensor([config.bos_token_id]), row.cpu()]) for row in token_ids]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    counts = torch.tensor([len(row) for row in rows])
    output = text_decoder(
        input_ids=ids.to(image_embeds.device),
        attention_mask=(torch.arange(ids.shape[1]) < counts[:, None]).long().to(image_embeds.device),
        encoder_hidden_states=image_embeds,
        output_attentions=True,
        use_cache=False,
        return_dict=True)
    own, cross = (maps[layer].float().cpu() for maps in (output.attentions, output.cross_attentions))
    chosen = slice(None) if head is None else head
    return [CaptionAttention(own[i, chosen, ..., :count, :count], cross[i, chosen, ..., :count, :])
            for i, count in enumerate(counts.tolist())]
