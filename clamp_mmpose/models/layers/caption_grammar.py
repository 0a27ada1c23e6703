"""The token language of a codec's captions."""
from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .number_pieces import DigitPieces, NumberPaths

# The state behind the end token.
END = ('end', )
# The state before a joint's name where every joint may come, as a model that is not constrained writes them.
ANY = ('joint', -1, ())
# Where joints may be missing, so many of the next ones are fed on trial.
_GUESSED_JOINTS = 3


class NumberSlot(NamedTuple):
    """Where a joint has a number. index: among the joint's numbers. values: of the choices, in input pixels."""
    joint: int
    index: int
    paths: NumberPaths
    values: np.ndarray


class GrammarState(NamedTuple):
    """What can come next at one place of a caption.

    tokens: allowed ones, ascending. steps: token -> key of the state behind it. guesses: tokens that are worth feeding
    on trial, none where the picture decides. slot: the number that is being written, or that is whole unless more
    digits come. inside: (len(tokens),), which tokens are of that number. values: (len(tokens),), what the number is if
    it ends with the token, NaN where it cannot.
    """
    tokens: Tensor
    steps: dict[int, Hashable]
    guesses: tuple[int, ...]
    slot: NumberSlot | None = None
    inside: np.ndarray | None = None
    values: np.ndarray | None = None

    @property
    def forced(self) -> int | None:
        """The token that must come next, None where there is a choice."""
        return next(iter(self.steps)) if len(self.steps) == 1 else None


class CaptionGrammar:
    """Which tokens can follow one another in a caption that the codec can write.

    Names and punctuation have the pieces that the tokenizer gives them. Numbers may be split in any way that the
    vocabulary allows, and are bounded by the codec's choices. A codec with ``missing='skip'`` may leave out joints.

    codec: has ``joint_templates``, ``slot_value``, ``missing`` and ``num_keypoints`` as CaptionPose has them.
    tokenizer: BERT's, slow or fast. usual: numbers have the tokenizer's own pieces alone.

    ValueError where the vocabulary cannot write a caption.
    """

    def __init__(self, codec, tokenizer, *, usual: bool = False) -> None:
        self.codec, self.tokenizer, self.usual = codec, tokenizer, usual
        self.end_token = tokenizer.sep_token_id
        self.num_keypoints = codec.num_keypoints
        templates = codec.joint_templates()
        axes = {piece.axis for _, template in templates for piece in template if hasattr(piece, 'axis')}
        # A caption of visibilities says 0 of a missing joint instead of leaving it out.
        self.optional = codec.missing == 'skip' and axes != {'visible'}
        self.num_slots = len(axes)
        self._pieces = DigitPieces(tokenizer.get_vocab())
        self._paths: dict[tuple[str, ...], NumberPaths] = {}
        self.joints = [joint for joint, _ in templates]
        self.templates = [template for _, template in templates]
        compiled = [self._compile(joint, template) for joint, template in templates]
        # What a joint starts with, as tokens, and the numbers and tokens behind it.
        self.names = [items[0] for items in compiled]
        self.items = [items[1:] for items in compiled]
        self._states: dict[Hashable, GrammarState] = {}
        self._shorter: CaptionGrammar | None = None
        self._check()

    @property
    def start(self) -> Hashable:
        """Key of the state at a caption's start."""
        return ('joint', 0, ())

    @property
    def max_tokens(self) -> int:
        """The most tokens of a caption, without start and end token."""
        items = [item for items in self.items for item in items]
        return sum(map(len, self.names)) + sum(
            item.paths.most_tokens if isinstance(item, NumberSlot) else len(item) for item in items)

    def fitted(self, max_tokens: int) -> CaptionGrammar:
        """This grammar, or the one with the usual pieces of numbers if only its captions fit; else a ValueError."""
        grammar = self
        if self.max_tokens > max_tokens and not self.usual:
            if self._shorter is None:
                self._shorter = CaptionGrammar(self.codec, self.tokenizer, usual=True)
            grammar = self._shorter
        if grammar.max_tokens > max_tokens:
            raise ValueError(f'captions of this codec have up to {grammar.max_tokens} tokens; '
                             f'the text model has positions for {max_tokens}')
        return grammar

    def state(self, key: Hashable) -> GrammarState:
        """What can come next at a place; the places are ``start`` and those in ``steps``."""
        if key not in self._states:
            self._states[key] = getattr(self, f'_{key[0]}_state')(*key[1:])
        return self._states[key]

    def accepts(self, token_ids: Sequence[int] | Tensor) -> bool:
        """Whether the tokens, without start and end token, are a whole caption."""
        key = self.start
        for token in [*map(int, token_ids), self.end_token]:
            key = self.state(key).steps.get(token) if key != END else None
            if key is None:
                return False
        return key == END

    def _compile(self, joint: int, template: Sequence) -> list[tuple[int, ...] | NumberSlot]:
        items, slots = [], 0
        for piece in template:
            if hasattr(piece, 'choices'):
                ends = [self.codec.slot_value(piece, piece.choices[end]) for end in (0, -1)]
                if piece.choices not in self._paths:
                    self._paths[piece.choices] = NumberPaths(piece.choices, self._pieces, usual=self.usual)
                items.append(NumberSlot(joint, slots, self._paths[piece.choices],
                                        np.linspace(*ends, len(piece.choices))))
                slots += 1
            else:
                items.append(self._literal(piece.text))
        # A space has no token.
        return [item for item in items if item != ()]

    def _literal(self, text: str) -> tuple[int, ...]:
        tokens = tuple(self.tokenizer(text, add_special_tokens=False)['input_ids'])
        if self.tokenizer.unk_token_id in tokens:
            raise ValueError(f'the vocabulary has no tokens to write {text.strip()!r} of the captions')
        return tokens

    def _check(self) -> None:
        """The language must hold what the tokenizer makes of the codec's first and last caption."""
        names = sorted(zip(self.names, self.joints))
        for (name, joint), (other, next_joint) in zip(names, names[1:]):
            if other[:len(name)] == name:
                raise ValueError(f'keypoints {joint} and {next_joint} have names that are the same to the tokenizer')
        for end in (0, -1):
            text = ''.join(piece.choices[end] if hasattr(piece, 'choices') else piece.text
                           for template in self.templates for piece in template)
            if not self.accepts(self.tokenizer(text, add_special_tokens=False)['input_ids']):
                raise ValueError(f'{type(self.tokenizer).__name__} writes captions in other pieces than a BERT '
                                 f'tokenizer: {self.tokenizer.tokenize(text)[:12]}')

    def _behind(self, place: int, item: int) -> Hashable:
        """Key of the state before an item of the joint at a place."""
        if item == len(self.items[place]):
            return ('joint', place + 1, ())
        found = self.items[place][item]
        return ('number', place, item, found.paths.start) if isinstance(found, NumberSlot) else (
            'literal', place, item, 0)

    def _literal_state(self, place: int, item: int, position: int) -> GrammarState:
        tokens = self.items[place][item]
        last = position + 1 == len(tokens)
        key = self._behind(place, item + 1) if last else ('literal', place, item, position + 1)
        return self._make({tokens[position]: key}, (tokens[position], ))

    def _joint_state(self, place: int, path: tuple[int, ...]) -> GrammarState:
        """Before or inside a name: the joints from a place on, or only the one at it where none may be missing."""
        steps, depth, joints = {}, len(path), {}
        last = len(self.names) if self.optional or place < 0 else min(place + 1, len(self.names))
        for other in range(max(place, 0), last):
            name = self.names[other]
            if name[:depth] == path and len(name) > depth:
                key = ('joint', place, name[:depth + 1]) if len(name) > depth + 1 else self._behind(other, 0)
                steps.setdefault(name[depth], key)
                joints[other] = name[depth]
        near = [other for other in joints if other < place + _GUESSED_JOINTS] or [*joints][:_GUESSED_JOINTS]
        if not path and (self.optional or place in (-1, len(self.names))):
            steps[self.end_token] = END
        return self._make(steps, tuple(dict.fromkeys(joints[other] for other in near)))

    def _number_state(self, place: int, item: int, node: Hashable) -> GrammarState:
        slot: NumberSlot = self.items[place][item]
        paths = slot.paths
        steps = {token: ('number', place, item, end) for token, end in paths.edges[node].items()}
        values = {token: slot.values[paths.ends[end]] if end in paths.ends else np.nan
                  for token, end in paths.edges[node].items()}
        guesses = tuple(steps) if len(steps) == 1 else ()
        if node in paths.ends:
            behind = self.state(self._behind(place, item + 1))
            guesses = behind.guesses
            steps.update(behind.steps)
            values.update(dict.fromkeys(behind.steps, slot.values[paths.ends[node]]))
        state = self._make(steps, guesses)
        inside = [token in paths.edges[node] for token in state.tokens.tolist()]
        return state._replace(slot=slot, inside=np.array(inside),
                              values=np.array([values[token] for token in state.tokens.tolist()]))

    @staticmethod
    def _make(steps: dict[int, Hashable], guesses: tuple[int, ...]) -> GrammarState:
        return GrammarState(torch.tensor(sorted(steps)), steps, guesses)
