"""What a text decoder looks at while it writes a caption: Fig. 9 of the BLIP pose captions."""
from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from torch import nn

from ..models.layers.caption_attention import caption_attention

ATTENTION_COLUMNS = ('image', 'layer', 'head', 'writes', 'of', 'looks at', 'at', 'weight')


@dataclasses.dataclass(frozen=True)
class TokenAttention:
    """Self-attention over one caption.

    ``weights`` (T, T), rows sum to 1: row i is of the step that writes ``written[i]``, column j of ``read[j]``, what
    the decoder has been given at that place: the start token, then the tokens that it has written. ``numbers[j]`` is
    (joint, number) where ``read[j]`` is a piece of a joint's first (0) or second number (1), else None.
    """

    read: tuple[str, ...]
    written: tuple[str, ...]
    weights: np.ndarray
    numbers: tuple[tuple[int, int] | None, ...]

    @classmethod
    def of(cls, tokens: Sequence[str], weights: np.ndarray, names: Mapping[int, str], *, start: str,
           end: str) -> TokenAttention:
        """``tokens``: T - 1 pieces of a caption, of an uncased BERT tokenizer; ``names``: joint -> name in captions."""
        if weights.shape != (len(tokens) + 1, ) * 2:
            raise ValueError(f'weights has the shape {weights.shape}; {len(tokens)} tokens and their start have '
                             f'{(len(tokens) + 1, ) * 2}')
        return cls((start, *tokens), (*tokens, end), weights, (None, *find_numbers(tokens, names)))

    @property
    def joints(self) -> list[int]:
        """Those whose numbers are there, in the order of the caption."""
        return list(dict.fromkeys(place[0] for place in self.numbers if place))

    def between_joints(self) -> np.ndarray:
        """(J, J): how much of the attention the numbers of each joint (row) give to those of each joint (column).

        The mean over the tokens of the row's numbers, the sum over those of the column's; a joint looks at itself where
        a later piece of its numbers looks at an earlier one. NaN above the diagonal: the future is not there to see.
        """
        members = np.array([[place is not None and place[0] == joint for place in self.numbers]
                            for joint in self.joints]).reshape(-1, len(self.numbers))
        found = np.full((len(members), ) * 2, np.nan)
        for row, own in enumerate(members):
            # The step before a token is the one that writes it.
            steps = np.flatnonzero(own) - 1
            for column, other in enumerate(members[:row + 1]):
                found[row, column] = self.weights[steps][:, other].sum(1).mean()
        return found

    def labels(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """What each column, and each row, is called; a number's first piece by joint, axis and value: 'rankl x 38'."""
        first, whole = {}, {}
        for position, place in enumerate(self.numbers):
            if place:
                first.setdefault(place, position)
                whole[place] = whole.get(place, '') + plain_piece(self.read[position])
        axes = {joint: max(axis for number, axis in whole if number == joint) for joint in self.joints}
        found = list(self.read)
        for (joint, axis), position in first.items():
            letter = f' {"xy"[axis]}' if axes[joint] == 1 else ''
            found[position] = f'{names[joint]}{letter} {whole[joint, axis]}'
        return found, [*found[1:], self.written[-1]]

    def table(self, *start: str | int, names: Sequence[str]) -> Iterator[list]:
        """A row per pair of tokens that can see one another, as ATTENTION_COLUMNS names them after ``start``."""
        places = ['' if place is None else names[place[0]] for place in (*self.numbers, None)]
        for row, token in enumerate(self.written):
            for column, other in enumerate(self.read[:row + 1]):
                yield [*start, token, places[row + 1], other, places[column], f'{self.weights[row, column]:.5g}']


@torch.no_grad()
def attend(model: nn.Module, dataset: BaseDataset, index: int, tokens: Sequence[int], *, layer: int,
           head: int | None) -> TokenAttention:
    """The self-attention of a caption that a :class:`BLIPCaptionPoseEstimator` has written of an instance.

    ``tokens``: without start and end. ``layer`` and ``head`` count from 0; the mean of all heads if None.
    """
    batch = model.data_preprocessor(pseudo_collate([dataset[index]]), False)
    image = model.extract_feat(batch['inputs'])
    found, = caption_attention(model.blip.text_decoder, image, [torch.tensor(tokens, dtype=torch.long)], layer=layer,
                               head=head)
    weights = found.self_attention if head is not None else found.self_attention.mean(0)
    config, tokenizer = model.blip.config.text_config, model.architecture.tokenizer
    start, *pieces, end = tokenizer.convert_ids_to_tokens([config.bos_token_id, *tokens, config.sep_token_id])
    names = {joint: model.codec.names[joint] for joint in model.codec.joints}
    return TokenAttention.of(pieces, weights.numpy(), names, start=start, end=end)


def find_numbers(tokens: Sequence[str], names: Mapping[int, str]) -> list[tuple[int, int] | None]:
    """Of each token, which joint's number it is a piece of, and which of its numbers (0, 1); None for other tokens.

    Where a joint is named twice, the first counts.
    """
    pieces = [plain_piece(token) for token in tokens]
    starts = np.cumsum([0, *map(len, pieces)])
    joints = {_fold(name): joint for joint, name in names.items()}
    # Of 'neck' and 'upper_neck' the longer is tried first, and a name does not begin inside a word.
    choices = '|'.join(re.escape(name) for name in sorted(joints, key=len, reverse=True))
    number = r'([0-9]+(?:\.[0-9]+)?)'
    found: list = [None] * len(tokens)
    seen = set()
    for match in re.finditer(rf'(?<![^\W0-9])({choices}):\(?{number}(?:,{number})?', ''.join(pieces)):
        joint = joints[match[1]]
        if joint in seen:
            continue
        seen.add(joint)
        for axis, group in enumerate((2, 3)):
            for position in np.flatnonzero((starts[:-1] >= match.start(group)) & (starts[1:] <= match.end(group))):
                if pieces[position]:
                    found[position] = joint, axis
    return found


def plain_piece(token: str) -> str:
    """The letters of a token of BERT's WordPiece."""
    return _fold(token.removeprefix('##'))


def _fold(text: str) -> str:
    return ''.join(letter for letter in unicodedata.normalize('NFD', text.lower())
                   if unicodedata.category(letter) != 'Mn')
