"""The ways in which a WordPiece vocabulary can write numbers."""
from __future__ import annotations

from collections.abc import Mapping, Sequence


class DigitPieces:
    """The tokens of a vocabulary that are made of digits alone, and single signs such as the decimal point.

    A word starts with ``38`` and goes on with ``##2``. A sign is a word of its own.
    """

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        self.starts, self.inner = {}, {}
        for token, index in vocabulary.items():
            piece = token[2:] if token.startswith('##') else token
            if piece.isascii() and (piece.isdigit() or (len(piece) == 1 and not piece.isalnum())):
                (self.starts if piece is token else self.inner)[piece] = index
        if not any(map(str.isdigit, self.starts)):
            raise ValueError('the vocabulary has no token for digits, so that captions cannot have numbers')
        self.longest = max(map(len, [*self.starts, *self.inner]))

    def moves(self, text: str, position: int) -> list[tuple[int, int]]:
        """(token, position behind it) of all that can come next of a number's text, the longest piece first."""
        if not text[position].isdigit():
            ends, pieces = [position + 1], self.starts
        else:
            inside = position > 0 and text[position - 1].isdigit()
            pieces = self.inner if inside else self.starts
            ends = range(position + 1, min(len(text), position + self.longest) + 1)
        found = ((pieces.get(text[position:end]), end) for end in ends)
        return [(token, end) for token, end in found if token is not None][::-1]


class NumberPaths:
    """All ways to write one of several numbers, as a graph whose nodes are beginnings of numbers.

    edges: node -> token -> node; the first node is ''. ends: node -> index into ``choices`` of the number that is
    whole there; it may go on, as 38 does to 382. With ``usual`` the numbers have the tokenizer's own pieces alone, and
    the nodes are tuples of tokens.

    ValueError where the tokenizer itself, which takes the longest piece first, cannot write a number.
    """

    def __init__(self, choices: Sequence[str], pieces: DigitPieces, *, usual: bool = False) -> None:
        self.choices = tuple(choices)
        self.start = () if usual else ''
        self.edges: dict = {self.start: {}}
        self.ends: dict = {}
        self.most_tokens = 0
        unwritable = []
        for index, choice in enumerate(self.choices):
            tokens = self._tokens(choice, pieces)
            if tokens is None:
                unwritable.append(choice)
            elif usual:
                for length, token in enumerate(tokens):
                    self._add(tokens[:length], token, tokens[:length + 1])
                self.ends[tokens] = index
                self.most_tokens = max(self.most_tokens, len(tokens))
            else:
                self.most_tokens = max(self.most_tokens, self._add_all(choice, pieces))
                self.ends[choice] = index
        if unwritable:
            raise ValueError(f'the vocabulary has no tokens to write the number {unwritable[-1]!r}: '
                             f'{len(unwritable)} of {len(self.choices)} numbers up to {self.choices[-1]} lack a piece')

    @staticmethod
    def _tokens(text: str, pieces: DigitPieces) -> tuple[int, ...] | None:
        """As WordPiece writes it: the longest piece first, None where it ends in [UNK]."""
        tokens, position = [], 0
        while position < len(text):
            moves = pieces.moves(text, position)
            if not moves:
                return None
            token, position = moves[0]
            tokens.append(token)
        return tuple(tokens)

    def _add(self, node, token: int, next_node) -> None:
        self.edges[node][token] = next_node
        self.edges.setdefault(next_node, {})

    def _add_all(self, text: str, pieces: DigitPieces) -> int:
        """Every split of one number; the tokens of the longest."""
        moves = [[] for _ in text] + [None]
        for position in reversed(range(len(text))):
            moves[position] = [(token, end) for token, end in pieces.moves(text, position) if moves[end] != []]
        counts = {0: 0}
        for position in range(len(text)):
            if position in counts:
                for token, end in moves[position]:
                    self._add(text[:position], token, text[:end])
                    counts[end] = max(counts.get(end, 0), counts[position] + 1)
        return counts[len(text)]
