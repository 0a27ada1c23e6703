import copy

import pytest
from mmpose.registry import KEYPOINT_CODECS

from clamp_mmpose.models.layers.caption_tokenizer import (
    make_tokenizer,
    number_tokens,
    tokenizer_from_text,
    tokenizer_to_text,
    vocabulary_words,
)


def _template(**arguments):
    return KEYPOINT_CODECS.build(dict(type='CaptionPose', **arguments)).template()


def _ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)['input_ids']


def test_words_are_split_as_berts():
    tokenizer = make_tokenizer(['rank', '##l', 'upper', '_', 'neck', ':', ',', '38', '##2', '12'])
    assert tokenizer.tokenize('Rankl:382,12 upper_neck:12,38 ') == [
        'rank', '##l', ':', '38', '##2', ',', '12', 'upper', '_', 'neck', ':', '12', ',', '38']
    # Spaces around punctuation stay, whatever the version of transformers.
    assert tokenizer.decode(_ids(tokenizer, 'rankl:382,12')) == 'rankl : 382 , 12'


def test_special_tokens_are_added_where_they_lack():
    bare = make_tokenizer(['head'])
    assert (bare.pad_token_id, bare.unk_token_id, bare.sep_token_id) == (0, 1, 3)
    assert bare.convert_tokens_to_ids('[DEC]') == len(bare) - 1
    given = make_tokenizer(['[PAD]', 'head', '[SEP]', '[UNK]', '[CLS]', '[MASK]'])
    assert (given.pad_token_id, given.sep_token_id, given.unk_token_id, len(given)) == (0, 2, 3, 7)


@pytest.mark.parametrize('arguments', [
    dict(input_size=(64, 48)),
    dict(input_size=(384, 384), style='normalized_text'),
    dict(input_size=(64, 64), style='visibility_text'),
    dict(input_size=(64, 64), style='single'),
])
def test_a_captions_vocabulary_writes_all_captions(arguments):
    template = _template(**arguments)
    tokenizer = make_tokenizer(vocabulary_words('caption', template))
    for end in (0, 1, -1):
        text = ''.join(piece.choices[end] if hasattr(piece, 'choices') else piece.text for piece in template)
        assert tokenizer.unk_token_id not in _ids(tokenizer, text)
    assert len(tokenizer) < 500


def test_whole_numbers_are_one_piece():
    tokenizer = make_tokenizer(vocabulary_words('caption', _template(input_size=(384, 384))))
    assert all(len(_ids(tokenizer, str(number))) == 1 for number in range(384))
    assert len(_ids(tokenizer, '384')) > 1  # spelled, so not unknown


def test_a_vocabulary_is_a_list_or_a_file(tmp_path):
    (tmp_path / 'vocab.txt').write_text('[PAD]\nhead\n##s\n')
    words = ['[PAD]', 'head', '##s']
    assert vocabulary_words(str(tmp_path / 'vocab.txt'), ()) == vocabulary_words(words, ()) == words


def test_text_keeps_the_whole_tokenizer():
    tokenizer = make_tokenizer(['head', '##s', ':', ',', *map(str, range(50)), '##7'])
    again = tokenizer_from_text(tokenizer_to_text(tokenizer))
    text = 'Heads:17,3 what'
    assert _ids(again, text) == _ids(tokenizer, text) == _ids(copy.deepcopy(tokenizer), text)
    assert again.decode(_ids(again, 'heads:17,3')) == tokenizer.decode(_ids(tokenizer, 'heads:17,3'))
    assert again.get_vocab() == tokenizer.get_vocab()
    assert (again.pad_token_id, again.sep_token_id) == (tokenizer.pad_token_id, tokenizer.sep_token_id)


def test_number_tokens_are_the_pieces_of_numbers_alone():
    tokens = ['c', '##7', ':', '38', '##2', ',', '0', '.', '62', '##8', 'l', '##8', '##8', '\u0661']
    assert [token for token, mark in zip(tokens, number_tokens(tokens)) if mark] == ['38', '##2', '0', '62', '##8']
