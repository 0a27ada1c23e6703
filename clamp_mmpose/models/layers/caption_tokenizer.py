"""Tokenizers of captions: WordPiece as BERT's, made from words on the spot or kept as text."""
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from .transformers_extra import import_transformers

# BERT's own words for them. [DEC] is the start token of BLIP's text decoder, beside BERT's vocabulary.
SPECIAL_TOKENS = dict(
    pad_token='[PAD]', unk_token='[UNK]', cls_token='[CLS]', sep_token='[SEP]', mask_token='[MASK]')
START = '[DEC]'


def make_tokenizer(words: Iterable[str]):
    """A tokenizer that lower-cases and splits as BERT's, from the pieces of its vocabulary in their order.

    Special tokens that ``words`` lacks are added: BERT's in front, BLIP's [DEC] behind.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    words = list(dict.fromkeys(words))
    words = [token for token in SPECIAL_TOKENS.values() if token not in words] + words
    if START not in words:
        words.append(START)
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=SPECIAL_TOKENS['unk_token']))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return _wrap(tokenizer, dict(SPECIAL_TOKENS))


def vocabulary_words(vocabulary: Sequence[str] | str, template: Sequence) -> list[str]:
    """The pieces of ``vocabulary``: a list, the path of a vocab.txt, or 'caption'.

    The last is what captions of ``template``, a codec's, need: words and punctuation, whole numbers as one piece each
    as BERT has them, and digits that spell any other.
    """
    if vocabulary == 'caption':
        return _caption_words(template)
    if not isinstance(vocabulary, str):
        return list(vocabulary)
    file = Path(vocabulary).expanduser()
    if not file.is_file():
        raise ValueError(f"vocabulary='{vocabulary}' is no file; give the path of a vocab.txt, a list, or 'caption'")
    return file.read_text(encoding='utf-8').splitlines()


def _caption_words(template: Sequence) -> list[str]:
    from tokenizers import pre_tokenizers
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    choices = [choice for piece in template for choice in getattr(piece, 'choices', ())]
    texts = [piece.text.lower() for piece in template if hasattr(piece, 'text')]
    # Of a decimal its punctuation; its digits are spelled.
    texts += {re.sub(r'[0-9]+', ' ', choice) for choice in choices}
    words = [word for text in texts for word, _ in split(text)] + [choice for choice in choices if _is_number(choice)]
    digits = [str(digit) for digit in range(10)]
    return list(dict.fromkeys(words + digits + [f'##{digit}' for digit in digits]))


def tokenizer_to_text(tokenizer) -> str:
    """All that :func:`tokenizer_from_text` needs to make the same tokenizer again, as JSON."""
    special = {name: getattr(tokenizer, name) for name in SPECIAL_TOKENS if getattr(tokenizer, name) is not None}
    return json.dumps(dict(special_tokens=special, tokenizer=json.loads(tokenizer.backend_tokenizer.to_str())))


def tokenizer_from_text(text: str):
    from tokenizers import Tokenizer
    content = json.loads(text)
    return _wrap(Tokenizer.from_str(json.dumps(content['tokenizer'])), content['special_tokens'])


def _wrap(tokenizer, special_tokens: dict):
    # Version 4 of transformers would take the spaces out of `: 0 , 383` again.
    return import_transformers().PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **special_tokens)


def number_tokens(tokens: Sequence[str]) -> list[bool]:
    """Which pieces of a caption spell a number, the pieces that continue one included ('38', '##2').

    The digits of a name (`c7` is 'c', '##7') are none.
    """
    marks = []
    for token in tokens:
        piece = token[2:] if token.startswith('##') else token
        marks.append(_is_number(piece) and (piece is token or bool(marks and marks[-1])))
    return marks


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()
