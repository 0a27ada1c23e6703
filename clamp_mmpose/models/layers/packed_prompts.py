from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class PackedPrompts(nn.Module):
    """K prompts with a common beginning, laid out in one sequence.

    All prompts begin with ``[SOT][T]_1..[T]_k``, and the text tower is causal: the hidden states of the beginning
    are the same for every keypoint, and nothing after ``[EOT]`` matters. So the beginning is encoded once, followed by
    the K endings ``[KeyPoint]_n[EOT]``, each of which sees the beginning and itself. For AP-10K's names this is 62
    tokens in place of 17 x 13 = 221, with the same result.

    ``tokens``: token ids of each name, without start and end. The buffers follow the module's device and are not
    saved: ``suffix`` (S,) token ids of the endings, ``positions`` (L,) row of the position table of each token,
    ``mask`` (L, L) 0 or -inf, ``ends`` (K,) where each prompt's [EOT] lies, L = 1 + k + S.
    """

    def __init__(self, tokens: Sequence[Sequence[int]], num_contexts: int, *, start: int, end: int) -> None:
        super().__init__()
        prefix = 1 + num_contexts
        suffix, positions, owner = [], list(range(prefix)), [-1] * prefix
        ends = []
        for index, name in enumerate(tokens):
            ending = [*name, end]
            suffix += ending
            positions += range(prefix, prefix + len(ending))
            owner += [index] * len(ending)
            ends.append(len(positions) - 1)
        owner = torch.tensor(owner)
        visible = (owner[None, :] == owner[:, None]) | (owner[None, :] == -1)
        visible &= torch.ones_like(visible).tril()
        mask = torch.zeros(visible.shape).masked_fill(~visible, float('-inf'))
        self.start = start
        self.num_contexts = num_contexts
        self.register_buffer('prefix', torch.tensor([start]), persistent=False)
        self.register_buffer('suffix', torch.tensor(suffix), persistent=False)
        self.register_buffer('positions', torch.tensor(positions), persistent=False)
        self.register_buffer('mask', mask, persistent=False)
        self.register_buffer('ends', torch.tensor(ends), persistent=False)

    def __len__(self) -> int:
        return len(self.ends)
