import numpy as np
import pytest
import torch
from caption_models import bert_tokenizer

from clamp_mmpose.codecs import CaptionPose
from clamp_mmpose.models.layers.caption_grammar import CaptionGrammar
from clamp_mmpose.models.layers.caption_reader import CaptionReader, allowed_probabilities

pytest.importorskip('transformers')


@pytest.fixture
def grammar(tmp_path):
    return CaptionGrammar(CaptionPose((20, 20), names=['head', 'rknee', 'rhip']), bert_tokenizer(tmp_path))


def read(grammar, pieces, chances, **arguments):
    """Reads the pieces; a piece has the probability in ``chances``, others that are allowed share the rest."""
    reader, chances = CaptionReader(grammar, **arguments), iter(chances)
    for token in grammar.tokenizer.convert_tokens_to_ids(pieces.split()):
        tokens = reader.state.tokens
        probabilities = None
        if len(tokens) > 1:
            chance = next(chances)
            others = len(tokens) - int((tokens == token).any())
            probabilities = np.where(tokens == token, chance, (1 - chance) / others)
        reader.read(token, probabilities)
    assert next(chances, None) is None
    return reader


def test_probabilities_of_a_caption_are_products_over_its_decisions(grammar):
    # The name's two pieces, a number that cannot go on, one that may, and its second piece; the end is forced.
    reader = read(grammar, 'r ##hip : 3 , 1 ##2 [SEP]', [0.5, 0.25, 0.4, 0.8, 0.9])
    assert reader.finished and reader.text() == 'rhip:3,12 '
    assert reader.joint_probabilities[2] == pytest.approx(0.5 * 0.25)
    np.testing.assert_allclose(reader.slot_probabilities[2], [0.4, 0.8 * 0.9], atol=1e-6)
    assert np.isnan(reader.slot_probabilities[:2]).all() and np.isnan(reader.joint_probabilities[:2]).all()


def test_of_a_number_that_may_go_on_the_other_ways_to_end_it_count_together(grammar):
    """Behind `1` come ten digits, a name or the end."""
    reader = read(grammar, 'head : 3 , 1 r ##hip : 3 , 4 [SEP]', [1, 1, 1, 0.5, 1, 1, 1])
    stay = 0.5 + 0.5 / 11  # ten digits and the end share the rest; both names start with r
    assert reader.slot_probabilities[0, 1] == pytest.approx(stay)
    assert reader.joint_probabilities[2] == pytest.approx(0.5 / stay)


def test_the_first_whole_mention_of_a_joint_counts_in_captions_that_the_grammar_refuses(grammar):
    reader = read(grammar, 'head : 3 head : 5 , 6 head : 7 , 8 [SEP]', [1, 0.9, 0.5, 0.6, 0, 0.3, 0.4, 1])
    np.testing.assert_allclose(reader.slot_probabilities[0], [0.5, 0.6], atol=1e-6)
    assert reader.finished and not grammar.accepts(reader.tokens)


def test_numbers_that_were_near_on_the_way_are_added(grammar):
    reader = read(grammar, 'head : 3 , 1 ##2 [SEP]', [1, 0.4, 0.8, 0.9, 1], tolerance=1)
    # Beside 3 are 2 and 4; beside 12 are 11 and 13 as second pieces, and as single ones.
    assert reader.near_probabilities[0, 0] == pytest.approx(0.4 + 2 * 0.6 / 19)
    first, second = 0.2 / 19, 0.1 / 11  # 20 numbers of one piece; behind `1` ten digits, a name or the end
    assert reader.near_probabilities[0, 1] == pytest.approx(0.72 + 3 * first + 2 * 0.8 * second, abs=1e-6)


def test_the_likeliest_token_is_one_that_is_allowed_and_the_first_of_equals(grammar):
    states = [grammar.state(grammar.start), grammar.state(('number', 0, 0, ''))]
    logits = torch.zeros(2, len(grammar.tokenizer))
    logits[:, 9] = 50
    logits[0, states[0].tokens[-1]] = 2
    tokens, probabilities = allowed_probabilities(logits, states)
    assert tokens.tolist() == [states[0].tokens[-1], states[1].tokens.min()]
    np.testing.assert_allclose(probabilities[0, :len(states[0].tokens)],
                               logits[0, states[0].tokens].softmax(0), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
