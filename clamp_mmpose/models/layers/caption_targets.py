from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .caption_tokenizer import number_tokens

IGNORED = -100  # torch's own mark for a label that has no loss


class CaptionTargets(NamedTuple):
    """Captions as a decoder learns them: each token from those before it. L is the longest caption's length.

    tokens: (B, L), the start token, the caption, padding. mask: (B, L), 0 at padding. labels: (B, L), the caption and
    the end token, then IGNORED. numbers: (B, L) bool, labels that are pieces of a number.
    """

    tokens: Tensor
    mask: Tensor
    labels: Tensor
    numbers: Tensor

    def losses(self, logits: Tensor, *, digit_weight: float = 1.0, label_smoothing: float = 0.0) -> dict[str, Tensor]:
        """Mean cross-entropy over all tokens of the batch, those of numbers weighing ``digit_weight``; accuracies.

        ``logits``: (B, L, V).
        """
        labels, numbers = self.labels, self.numbers
        entropy = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED,
                                  reduction='none', label_smoothing=label_smoothing).view_as(labels)
        written = labels != IGNORED
        weights = written * torch.where(numbers, digit_weight, 1.0)
        with torch.no_grad():
            right = logits.argmax(dim=-1) == labels
            accuracies = dict(acc_token=_share(right, written), acc_digit=_share(right, numbers))
        return dict(loss_caption=(weights * entropy).sum() / weights.sum(), **accuracies)


def _share(right: Tensor, among: Tensor) -> Tensor:
    return (right & among).sum() / among.sum().clamp(min=1)


def caption_targets(captions: Sequence[str], tokenizer, *, start: int, end: int, padding: int, most: int,
                    device: torch.device) -> CaptionTargets:
    """Tokenizes ``captions`` between the tokens ``start`` and ``end``. ValueError where one takes more than ``most``
    positions, or has words that the vocabulary lacks.
    """
    rows = []
    for caption in captions:
        ids = tokenizer(caption, add_special_tokens=False)['input_ids']
        if len(ids) + 1 > most:
            raise ValueError(f'a caption of {len(ids)} tokens with its start does not fit the {most} positions of the '
                             f'text model: {caption[:80]!r}...; choose fewer joints or another style of the codec')
        if tokenizer.unk_token_id in ids:
            raise ValueError(f'the vocabulary lacks words of the caption {caption[:200]!r}')
        rows.append((ids, number_tokens(tokenizer.convert_ids_to_tokens(ids))))
    length = 1 + max(len(ids) for ids, _ in rows)
    tokens, labels, numbers, mask = [], [], [], []
    for ids, marks in rows:
        gap = length - 1 - len(ids)
        tokens.append([start, *ids] + gap * [padding])
        mask.append((1 + len(ids)) * [1] + gap * [0])
        labels.append([*ids, end] + gap * [IGNORED])
        numbers.append([*marks, False] + gap * [False])
    return CaptionTargets(*(torch.tensor(part, device=device) for part in (tokens, mask, labels, numbers)))
