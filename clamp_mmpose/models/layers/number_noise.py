from __future__ import annotations

import torch
from torch import Tensor

from .caption_tokenizer import is_number


class NumberNoise:
    """Moves numbers of the captions that a decoder reads while it learns, and none of those that it has to write.

    A model without pretrained weights is quicker to learn where a joint is from the joints in front of it than from the
    image, and then writes poses that agree with themselves and not with the image. Ours: the paper has none.

    Numbers of several pieces stay as they are.

    tokenizer: whose one-piece numbers stand for one another. probability: that a number is moved. std: of the distance,
    in units of the number.
    """

    def __init__(self, tokenizer, *, probability: float, std: float) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f'probability={probability} of context_noise must be in [0, 1]')
        if std <= 0:
            raise ValueError(f'std={std} of context_noise must be more than 0')
        self.probability, self.std = probability, std
        values = {index: int(word) for word, index in tokenizer.get_vocab().items() if is_number(word)}
        numbers = sorted(values.items(), key=lambda pair: pair[1])
        self.ids = torch.tensor([index for index, _ in numbers], dtype=torch.long)
        self.values = torch.tensor([value for _, value in numbers], dtype=torch.float)

    def __call__(self, tokens: Tensor, numbers: Tensor) -> Tensor:
        """tokens: (B, L), what the decoder reads; numbers: (B, L) bool, those that are pieces of a number."""
        beside = torch.nn.functional.pad(numbers, (1, 1))
        alone = numbers & ~beside[:, :-2] & ~beside[:, 2:]
        moved = alone & (torch.rand(tokens.shape, device=tokens.device) < self.probability)
        ids, values = self.ids.to(tokens.device), self.values.to(tokens.device)
        places = (tokens[moved][:, None] == ids).long().argmax(dim=1)
        wanted = values[places] + self.std * torch.randn(places.shape, device=tokens.device)
        after = torch.searchsorted(values, wanted).clamp(1, len(values) - 1)
        nearest = after - ((wanted - values[after - 1]) < (values[after] - wanted)).long()
        noisy = tokens.clone()
        noisy[moved] = ids[nearest]
        return noisy
