"""Lets a BLIP text decoder write captions of poses."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .cached_decoder import CachedDecoder, Chunk
from .caption_attention import CaptionAttention, caption_attention
from .caption_grammar import CaptionGrammar, GrammarState
from .caption_reader import CaptionReader, allowed_probabilities

# Captions that are scored at once; the logits of one have some 100 rows of 30524.
_SCORED_AT_ONCE = 8


class CaptionOutput(NamedTuple):
    """B captions, and how sure the model was of them.

    token_ids: of each caption, without start and end token. captions: as text; constrained ones as the codec writes
    them. slot_probabilities: (B, K, S), of the S numbers of each joint (x and y, or the visibility), among all numbers
    that can stand there; NaN where the caption has no such joint. near_probabilities: (B, K, S), of the number or one
    at most ``tolerance`` pixels away. joint_probabilities: (B, K), of naming the joint rather than another one or
    ending. finished: (B,), False where ``max_new_tokens`` cut the caption. calls: of the decoder, for all captions
    together. attention: on request.
    """
    token_ids: list[Tensor]
    captions: list[str]
    slot_probabilities: np.ndarray
    near_probabilities: np.ndarray
    joint_probabilities: np.ndarray
    finished: np.ndarray
    calls: int
    attention: list[CaptionAttention] | None = None


@torch.no_grad()
def decode_captions(text_decoder: nn.Module,
                    image_embeds: Tensor,
                    *,
                    grammar: CaptionGrammar,
                    mode: str = 'constrained',
                    num_beams: int = 3,
                    max_new_tokens: int | None = None,
                    tolerance: float = 0.,
                    attention: tuple[int, int | None] | None = None) -> CaptionOutput:
    """Writes a caption for each image.

    'constrained' writes what the grammar allows and nothing else. Names and punctuation are not decided but fed in
    chunks, and behind each piece of a number what usually follows is fed along on trial, so that a number costs about
    one call of the decoder. Where greedy decoding gives a caption that the grammar accepts, this gives the same
    tokens. 'greedy' is the paper's, 'beam' its alternative; both write what they like.

    text_decoder: Hugging Face's BlipTextLMHeadModel, in eval mode; a caption starts with its ``bos_token_id``.
    image_embeds: (B, N, C). max_new_tokens: of greedy and beam, end token included; a little more than the grammar's
    longest caption if None. tolerance: pixels, for ``near_probabilities``. attention: (layer, head) of the decoder to
    return, head None for all; costs a call that is not counted in ``calls``.
    """
    if mode not in _MODES:
        raise ValueError(f'mode={mode!r} is not one of {list(_MODES)}')
    if num_beams < 1 or (max_new_tokens is not None and max_new_tokens < 1):
        raise ValueError(f'num_beams={num_beams} and max_new_tokens={max_new_tokens} must be 1 or more')
    positions = text_decoder.config.max_position_embeddings - 1  # the start token has one
    grammar = grammar.fitted(positions)
    if max_new_tokens is None:
        max_new_tokens = grammar.max_tokens + 8
    readers = [CaptionReader(grammar, tolerance=tolerance) for _ in image_embeds]
    captions, calls = [], 0
    if readers:
        captions, calls = _MODES[mode](text_decoder, image_embeds, readers, num_beams=num_beams,
                                       max_new_tokens=min(max_new_tokens, positions))
    token_ids = [torch.tensor(reader.tokens, dtype=torch.long) for reader in readers]
    shape = (len(readers), grammar.num_keypoints, grammar.num_slots)
    return CaptionOutput(
        token_ids, captions,
        np.array([reader.slot_probabilities for reader in readers]).reshape(shape),
        np.array([reader.near_probabilities for reader in readers]).reshape(shape),
        np.array([reader.joint_probabilities for reader in readers]).reshape(shape[:2]),
        np.array([reader.finished for reader in readers], dtype=bool),
        calls,
        None if attention is None else caption_attention(
            text_decoder, image_embeds, token_ids, layer=attention[0], head=attention[1]))


class _Row:
    """One caption of constrained decoding.

    pending: tokens that are certain and not yet fed. places: of the chunk fed last those that something follows, each
    with the state there and token -> place of what was fed behind it on trial.
    """

    def __init__(self, reader: CaptionReader, start_token: int) -> None:
        self.reader = reader
        self.pending = [start_token]
        self.places: dict[int, tuple[GrammarState, dict[int, int]]] = {}
        self._read_forced()

    def chunk(self) -> Chunk:
        """Tokens to feed now, and guesses behind them; none when the caption is finished."""
        self.places = {}
        if self.reader.finished:
            return Chunk.line([])
        chunk = Chunk.line(self.pending)
        open_ = [(len(self.pending) - 1, self.reader.key)]
        for place, key in open_:
            state = self.reader.grammar.state(key)
            self.places[place] = state, {}
            for token in state.guesses:
                self.places[place][1][token] = len(chunk.tokens)
                open_.append((len(chunk.tokens), state.steps[token]))
                chunk.tokens.append(token)
                chunk.parents.append(place)
        return chunk

    def advance(self, decided: dict[int, tuple[int, np.ndarray]]) -> list[int]:
        """Takes decisions, place -> (token, probabilities), as far as the guesses hold; which fed tokens stay."""
        if self.reader.finished:
            return []
        kept, place = list(range(len(self.pending))), len(self.pending) - 1
        while True:
            state, guessed = self.places[place]
            token, probabilities = decided.get(place, (state.forced, None))
            self.reader.read(token, probabilities)
            if token not in guessed:
                break
            place = guessed[token]
            kept.append(place)
        self.pending = [token]
        self._read_forced()
        return kept

    def _read_forced(self) -> None:
        while not self.reader.finished and self.reader.state.forced is not None:
            self.pending.append(self.reader.state.forced)
            self.reader.read(self.pending[-1])


def _constrained(text_decoder: nn.Module, image_embeds: Tensor, readers: Sequence[CaptionReader],
                 **_) -> tuple[list[str], int]:
    decoder = CachedDecoder(text_decoder, image_embeds)
    rows = [_Row(reader, text_decoder.config.bos_token_id) for reader in readers]
    while not all(reader.finished for reader in readers):
        logits = decoder.feed([row.chunk() for row in rows])
        decided = [{} for _ in rows]
        open_ = [(i, place, state) for i, row in enumerate(rows) for place, (state, _) in row.places.items()
                 if state.forced is None]
        indices, places, states = zip(*open_)
        found = allowed_probabilities(logits[list(indices), list(places)], states)
        for i, place, token, probabilities in zip(indices, places, *found):
            decided[i][place] = (int(token), probabilities)
        decoder.keep([row.advance(choices) for row, choices in zip(rows, decided)])
    return [reader.text() for reader in readers], decoder.calls


def _greedy(text_decoder: nn.Module, image_embeds: Tensor, readers: Sequence[CaptionReader], *, max_new_tokens: int,
            **_) -> tuple[list[str], int]:
    decoder = CachedDecoder(text_decoder, image_embeds)
    chunks = [[text_decoder.config.bos_token_id] for _ in readers]
    for _ in range(max_new_tokens):
        logits = decoder.feed([Chunk.line(chunk) for chunk in chunks])[:, -1]
        written = [i for i, chunk in enumerate(chunks) if chunk]
        _, probabilities = allowed_probabilities(logits[written], [readers[i].state for i in written])
        tokens = logits.argmax(dim=1).tolist()
        for i, row in zip(written, probabilities):
            readers[i].read(tokens[i], row)
            chunks[i] = [] if readers[i].finished else [tokens[i]]
        if not any(chunks):
            break
    return _texts(readers), decoder.calls


def _beam(text_decoder: nn.Module, image_embeds: Tensor, readers: Sequence[CaptionReader], *, num_beams: int,
          max_new_tokens: int) -> tuple[list[str], int]:
    """Hugging Face's beam search."""
    from transformers import GenerationConfig
    config, end = text_decoder.config, readers[0].grammar.end_token
    calls = []
    handle = text_decoder.register_forward_hook(lambda *_: calls.append(1))
    try:
        sequences = text_decoder.generate(
            input_ids=torch.full((len(readers), 1), config.bos_token_id, device=image_embeds.device),
            encoder_hidden_states=image_embeds,
            generation_config=GenerationConfig(
                max_new_tokens=max_new_tokens, num_beams=num_beams, do_sample=False, use_cache=True,
                bos_token_id=config.bos_token_id, eos_token_id=end, pad_token_id=config.pad_token_id))
    finally:
        handle.remove()
    rows = [row[:row.index(end) + 1] if end in row else row for row in sequences[:, 1:].tolist()]
    for start in range(0, len(rows), _SCORED_AT_ONCE):
        part = slice(start, start + _SCORED_AT_ONCE)
        fed = [Chunk.line([config.bos_token_id, *row[:-1]]) for row in rows[part]]
        logits = CachedDecoder(text_decoder, image_embeds[part]).feed(fed)
        for reader, row, scores in zip(readers[part], rows[part], logits):
            for token, score in zip(row, scores):
                _, probabilities = allowed_probabilities(score[None], [reader.state])
                reader.read(token, probabilities[0])
    return _texts(readers), len(calls)


def _texts(readers: Sequence[CaptionReader]) -> list[str]:
    return [reader.grammar.tokenizer.decode(reader.tokens, skip_special_tokens=True) for reader in readers]


_MODES = dict(constrained=_constrained, greedy=_greedy, beam=_beam)
