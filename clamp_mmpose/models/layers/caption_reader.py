"""Follows a caption through the grammar while it is written, and keeps how sure the model was of its numbers."""
from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .caption_grammar import ANY, END, CaptionGrammar, GrammarState, NumberSlot


def allowed_probabilities(logits: Tensor, states: Sequence[GrammarState]) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest token of each state, and the probabilities of all that it allows.

    logits: (N, V), one row for each state. Returns token ids (N,), and (N, A) probabilities in the order of the
    states' ``tokens``, 0 behind their end.
    """
    tokens = torch.nn.utils.rnn.pad_sequence([state.tokens for state in states], batch_first=True)
    counts = torch.tensor([len(state.tokens) for state in states])
    beyond = torch.arange(tokens.shape[1]) >= counts[:, None]
    scores = logits.gather(1, tokens.to(logits.device)).float().masked_fill(beyond.to(logits.device), -torch.inf)
    best = scores.argmax(dim=1).cpu()
    # A broken model's NaN must not become a broken caption or score.
    return tokens.gather(1, best[:, None])[:, 0].numpy(), scores.softmax(dim=1).nan_to_num(0).cpu().numpy()


class _Decision(NamedTuple):
    """One token of a number: the probability of the number up to it, and what else could have stood there."""
    before: float
    probabilities: np.ndarray
    values: np.ndarray
    others: np.ndarray


class CaptionReader:
    """Takes the tokens of one caption one by one.

    A token that the grammar does not allow ends what was being read; reading goes on at the next joint's name. As in
    the codec the first whole mention of a joint counts.

    slot_probabilities: (K, S), of the S numbers of each joint, among all numbers that the grammar allows; NaN where
    the caption lacks the joint. near_probabilities: (K, S), of all numbers that are at most ``tolerance`` pixels away,
    as far as they were seen on the way. joint_probabilities: (K,), of writing the joint next instead of another one or
    the end. All of them given what stands before.
    """

    def __init__(self, grammar: CaptionGrammar, *, tolerance: float = 0.) -> None:
        self.grammar, self.tolerance = grammar, tolerance
        self.key: Hashable = grammar.start
        self.tokens: list[int] = []
        self.pieces: list[str] = []
        shape = (grammar.num_keypoints, grammar.num_slots)
        self.slot_probabilities = np.full(shape, np.nan, dtype=np.float32)
        self.near_probabilities = self.slot_probabilities.copy()
        self.joint_probabilities = self.slot_probabilities[:, 0].copy()
        self._restart()

    @property
    def state(self) -> GrammarState | None:
        """What may come next; None behind the end."""
        return None if self.key == END else self.grammar.state(self.key)

    @property
    def finished(self) -> bool:
        return self.key == END

    def read(self, token: int, probabilities: np.ndarray | None = None) -> None:
        """The next token. probabilities: of ``state.tokens``, as many or longer; None where one token is allowed."""
        state = self.state
        known = token in state.steps
        if probabilities is None:
            probabilities = np.ones(1)
        probabilities = probabilities[:len(state.tokens)]
        chosen = state.tokens.numpy() == token
        if state.slot is not None:
            chosen, probabilities = self._read_number(state, chosen, probabilities)
        if known:
            self._named *= float(probabilities[chosen].sum())
            self.key = state.steps[token]
        else:
            self._restart()
            self.key = ANY
            self.key = self.state.steps.get(token, ANY)
        if token == self.grammar.end_token:
            self.key = END
        else:
            self.tokens.append(token)

    def text(self) -> str:
        """The caption as the codec writes it, of tokens that the grammar allowed throughout."""
        return ''.join(self.pieces)

    def _restart(self) -> None:
        self._named, self._number, self._decisions, self._slots = 1., 1., [], []

    def _read_number(self, state: GrammarState, chosen: np.ndarray, probabilities: np.ndarray) -> tuple:
        """Counts the token as one of the number or as its end; returns what is left to be decided behind its end."""
        inside = state.inside
        kept = chosen & inside if (chosen & inside).any() else ~inside
        self._decisions.append(_Decision(self._number, probabilities, state.values, ~kept))
        self._number *= float(probabilities[kept].sum())
        if not (chosen & inside).any():
            node = self.key[-1]
            if node in state.slot.paths.ends:
                self._finish(state.slot, state.slot.paths.ends[node])
            rest = np.where(inside, 0, probabilities)
            return chosen, rest / max(rest.sum(), np.finfo(np.float32).tiny)
        return chosen, np.ones_like(probabilities)

    def _finish(self, slot: NumberSlot, index: int) -> None:
        value, near = slot.values[index], self._number
        for decision in self._decisions:
            close = decision.others & (abs(decision.values - value) <= self.tolerance)
            near += decision.before * float(decision.probabilities[close].sum())
        self._slots.append((slot, slot.paths.choices[index], self._number, near))
        self._number, self._decisions = 1., []
        if len(self._slots) == self.grammar.num_slots:
            self._keep()

    def _keep(self) -> None:
        joint = self._slots[0][0].joint
        choices = iter([choice for _, choice, _, _ in self._slots])
        template = self.grammar.templates[self.grammar.joints.index(joint)]
        self.pieces += [next(choices) if hasattr(piece, 'choices') else piece.text for piece in template]
        if np.isnan(self.joint_probabilities[joint]):
            self.joint_probabilities[joint] = self._named
            for slot, _, probability, near in self._slots:
                self.slot_probabilities[joint, slot.index] = probability
                self.near_probabilities[joint, slot.index] = near
        self._named, self._slots = 1., []
