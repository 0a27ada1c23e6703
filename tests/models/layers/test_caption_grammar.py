"""The token language of captions, against all captions of a small codec written out."""
import itertools
import time

import numpy as np
import pytest
import torch
from caption_models import bert_tokenizer, bert_words, random_poses

from clamp_mmpose.codecs import CaptionPose
from clamp_mmpose.models.layers.caption_grammar import END, CaptionGrammar
from clamp_mmpose.models.layers.caption_tokenizer import make_tokenizer, vocabulary_words

pytest.importorskip('transformers')
STYLES = ['text', 'simple_text', 'visibility_text', 'simple_visibility_text', 'normalized_text',
          'normalized_simple_text', 'single']


def encode(tokenizer, caption):
    return tokenizer(caption, add_special_tokens=False)['input_ids']


def splits(digits, vocabulary, *, inside=False):
    """All ways to write a run of digits, as token ids."""
    if not digits:
        yield ()
    for length in range(1, len(digits) + 1):
        token = vocabulary.get('##' * inside + digits[:length])
        if token is not None:
            yield from ((token, *rest) for rest in splits(digits[length:], vocabulary, inside=True))


def all_captions(codec, tokenizer):
    """Every token sequence that spells a caption of the codec, names and punctuation as the tokenizer has them."""
    vocabulary = tokenizer.get_vocab()
    joints = []
    for _, template in codec.joint_templates():
        ways = [()]
        for piece in template:
            if hasattr(piece, 'choices'):
                texts = [[list(splits(word, vocabulary)) if word.isdigit() else [tuple(encode(tokenizer, word))]
                          for word in choice.replace('.', ' . ').split()] for choice in piece.choices]
                written = [sum(parts, ()) for words in texts for parts in itertools.product(*words)]
            else:
                written = [tuple(encode(tokenizer, piece.text))]
            ways = [way + more for way in ways for more in written]
        joints.append(ways)
    optional = codec.missing == 'skip' and 'visibility' not in codec.style
    options = [[(), *ways] if optional else ways for ways in joints]
    return {sum(parts, ()) for parts in itertools.product(*options)}


def all_accepted(grammar):
    """Every token sequence that the grammar walks through to the end."""
    found, open_ = set(), [((), grammar.start)]
    while open_:
        tokens, key = open_.pop()
        for token, step in grammar.state(key).steps.items():
            if step == END:
                found.add(tokens)
            else:
                open_.append(((*tokens, token), step))
    return found


SMALL = [
    dict(input_size=(12, 3), names=['rknee', 'rhip'], missing='skip'),
    dict(input_size=(12, 3), names=['rknee', 'rhip'], missing='forbid'),
    dict(input_size=(1, 13), names=['r', 'rk', 'head'], missing='skip'),
    dict(input_size=(2, 1), names=['rknee', 'rhip', 'l', 'lknee'], missing='skip'),
    dict(input_size=(2, 2), names=['rknee', 'rhip', 'l', 'lknee'], style='visibility_text'),
    dict(input_size=(100, 7), names=['neck'], style='single', missing='forbid'),
    dict(input_size=(5, 9), names=['head', 'rknee'], style='normalized_text', decimals=1),
    dict(input_size=(4, 1), names=['head'], style='normalized_text', decimals=3),
]


@pytest.mark.parametrize('arguments', SMALL)
def test_the_language_is_all_captions_of_the_codec_in_every_split_and_no_others(arguments, tmp_path):
    codec, tokenizer = CaptionPose(**arguments), bert_tokenizer(tmp_path)
    grammar = CaptionGrammar(codec, tokenizer)
    expected = all_captions(codec, tokenizer)
    assert len(expected) > 3
    assert all_accepted(grammar) == expected
    assert grammar.max_tokens == max(map(len, expected))


@pytest.mark.parametrize('style', STYLES)
@pytest.mark.parametrize('missing', ['skip', 'forbid'])
@pytest.mark.parametrize('size', [(384, 384), (97, 1281)])
def test_what_the_codec_writes_is_accepted_and_spelled_again(style, missing, size, tmp_path):
    codec, tokenizer = CaptionPose(size, style=style, missing=missing), bert_tokenizer(tmp_path)
    grammar, usual = CaptionGrammar(codec, tokenizer), CaptionGrammar(codec, tokenizer, usual=True)
    poses = random_poses(codec, 20, missing=0.4 if missing == 'skip' else 0)
    for points, there in zip(*poses):
        tokens = encode(tokenizer, codec.write(points, there))
        assert grammar.accepts(tokens) and usual.accepts(torch.tensor(tokens))
        assert len(tokens) <= usual.max_tokens <= grammar.max_tokens
        assert codec.decode(tokenizer.decode(tokens)).report[0].ok


def test_mpii_captions_in_berts_pieces_have_the_papers_lengths(tmp_path):
    """At 384 pixels 103 to 110 tokens with start and end token, of which names cost 37."""
    codec, tokenizer = CaptionPose(missing='forbid'), bert_tokenizer(tmp_path)
    usual = CaptionGrammar(codec, tokenizer, usual=True)
    assert sum(map(len, usual.names)) == 37 + 16
    assert usual.max_tokens == 37 + 16 * 2 + 16 * 2 * 2
    assert len(encode(tokenizer, codec.write(np.full((16, 2), 100)))) == 103 - 2


@pytest.mark.parametrize('change, right', [
    (lambda text: text, True),
    (lambda text: text.upper().replace(',', ' , '), True),
    (lambda text: text.replace('rknee:1,2', 'rknee:1,11'), True),
    (lambda text: text.replace('rknee:1,2', 'rknee:20,2'), False),  # beyond the width
    (lambda text: text.replace('rknee:1,2', 'rknee:1,12'), False),  # beyond the height
    (lambda text: text.replace('rknee:1,2', 'rknee:01,2'), False),
    (lambda text: text.replace('rknee:1,2', 'rknee:1 1,2'), False),
    (lambda text: text.replace('rknee:1,2', 'rknee:1'), False),
    (lambda text: text.replace('rknee:1,2', 'rknee:1,'), False),
    (lambda text: text.replace('rknee:1,2 ', ''), False),
    (lambda text: text + 'head:1,2 ', False),
    (lambda text: 'head ' + text, False),
    (lambda text: ' '.join(reversed(text.split())), False),
    (lambda text: '', False),
    (lambda text: '[SEP]', False),
])
def test_a_changed_caption_is_accepted_only_if_it_means_a_pose_in_the_image(change, right, tmp_path):
    codec = CaptionPose((20, 12), names=['head', 'rknee', 'l'], missing='forbid')
    tokenizer = bert_tokenizer(tmp_path)
    grammar = CaptionGrammar(codec, tokenizer)
    assert grammar.accepts(encode(tokenizer, change('head:3,4 rknee:1,2 l:19,0 '))) is right


@pytest.mark.parametrize('fast', [True, False])
def test_hugging_faces_tokenizers_and_one_made_on_the_spot_give_one_language(fast, tmp_path):
    codec = CaptionPose()
    words = bert_words()
    grammars = [CaptionGrammar(codec, tokenizer)
                for tokenizer in (bert_tokenizer(tmp_path, words, fast=fast), make_tokenizer(words))]
    for points, there in zip(*random_poses(codec, 5, missing=0.3)):
        tokens = {tuple(encode(grammar.tokenizer, codec.write(points, there))) for grammar in grammars}
        assert len(tokens) == 1 and all(grammar.accepts(*tokens) for grammar in grammars)


@pytest.mark.parametrize('style', STYLES)
def test_a_vocabulary_of_just_the_captions_words_is_enough(style):
    codec = CaptionPose((40, 30), style=style)
    tokenizer = make_tokenizer(vocabulary_words('caption', codec.template()))
    grammar = CaptionGrammar(codec, tokenizer)
    for points, there in zip(*random_poses(codec, 5, missing=0.3)):
        assert grammar.accepts(encode(tokenizer, codec.write(points, there)))


def without(*dropped):
    return [word for word in bert_words() if word not in dropped]


@pytest.mark.parametrize('words, message', [
    ([word for word in bert_words() if not any(map(str.isdigit, word))], 'the vocabulary has no token for digits'),
    ([word for word in bert_words() if not word[-1].isdigit() or len(word) == 1],
     r"no tokens to write the number '383': 374 of 384 numbers up to 383"),
    (without('##2', '##3', '##82', '##83'), "no tokens to write the number '383': 8 of 384"),
    (without('0'), "no tokens to write the number '0': 1 of 384 numbers up to 383"),
    (without('##nee'), "no tokens to write 'rknee:' of the captions"),
    (without('_'), "no tokens to write 'upper_neck:' of the captions"),
    (without(','), "no tokens to write ',' of the captions"),
])
def test_a_vocabulary_that_cannot_write_captions_is_refused(words, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        CaptionGrammar(CaptionPose(), bert_tokenizer(tmp_path, words))


def test_a_vocabulary_without_a_point_cannot_write_normalized_captions(tmp_path):
    tokenizer = bert_tokenizer(tmp_path, without('.'))
    CaptionGrammar(CaptionPose(), tokenizer)
    with pytest.raises(ValueError, match=r"no tokens to write the number '0\.997'"):
        CaptionGrammar(CaptionPose(style='normalized_text'), tokenizer)


def test_captions_longer_than_the_positions_are_refused_and_close_ones_lose_unusual_splits(tmp_path):
    grammar = CaptionGrammar(CaptionPose(), bert_tokenizer(tmp_path))
    assert grammar.max_tokens == 165 and grammar.fitted(165) is grammar
    assert grammar.fitted(164).max_tokens == grammar.fitted(133).max_tokens == 133
    with pytest.raises(ValueError, match='up to 133 tokens; the text model has positions for 132'):
        grammar.fitted(132)


def test_a_grammar_of_berts_size_compiles_fast(tmp_path):
    tokenizer = bert_tokenizer(tmp_path, bert_words(size=30524))
    for arguments in (dict(), dict(style='normalized_text'), dict(input_size=(1920, 1080))):
        codec, start = CaptionPose(**arguments), time.process_time()
        grammar = CaptionGrammar(codec, tokenizer)
        assert time.process_time() - start < 1
        assert grammar.accepts(encode(tokenizer, codec.write(*(part[0] for part in random_poses(codec, 1)))))
