import pytest
import torch

from clamp_mmpose.models.layers.caption_tokenizer import make_tokenizer
from clamp_mmpose.models.layers.number_noise import NumberNoise

WORDS = ['head', ':', ',', *map(str, range(64)), '##0', '##1']


@pytest.fixture
def tokenizer():
    return make_tokenizer(WORDS)


def _row(tokenizer, words):
    tokens = torch.tensor([tokenizer.convert_tokens_to_ids(words)])
    return tokens, torch.tensor([[word.strip('#').isdigit() for word in words]])


def _values(tokenizer, tokens):
    return [int(word) for word in tokenizer.convert_ids_to_tokens(tokens.flatten().tolist())]


def test_numbers_move_as_far_as_asked_and_words_stay(tokenizer):
    words = ['head', ':', '32', ',', '20'] * 400
    tokens, numbers = _row(tokenizer, words)
    torch.manual_seed(0)
    noisy = NumberNoise(tokenizer, probability=1, std=4)(tokens, numbers)
    assert torch.equal(noisy[~numbers], tokens[~numbers])
    values = torch.tensor(_values(tokenizer, noisy[numbers]), dtype=torch.float).view(-1, 2)
    assert values.mean(0).tolist() == pytest.approx([32, 20], abs=1)
    assert values.std(0).tolist() == pytest.approx([4, 4], abs=0.6)


def test_as_many_move_as_asked(tokenizer):
    tokens, numbers = _row(tokenizer, ['32'] + [',', '32'] * 999)
    torch.manual_seed(0)
    noisy = NumberNoise(tokenizer, probability=0.25, std=1000)(tokens, numbers)
    assert (noisy != tokens).sum() == pytest.approx(250, abs=50)
    assert torch.equal(NumberNoise(tokenizer, probability=0, std=1000)(tokens, numbers), tokens)


def test_the_nearest_number_that_the_vocabulary_has():
    tokenizer = make_tokenizer([',', '0', '10', '90'])
    tokens, numbers = _row(tokenizer, ['10'] + [',', '10'] * 500)
    torch.manual_seed(0)
    noisy = NumberNoise(tokenizer, probability=1, std=25)(tokens, numbers)
    values = torch.tensor(_values(tokenizer, noisy[numbers]))
    # A distance from N(10, 25): below 5, to 50, above.
    shares = [float((values == value).float().mean()) for value in (0, 10, 90)]
    assert shares == pytest.approx([0.42, 0.525, 0.055], abs=0.06)


def test_numbers_of_several_pieces_stay(tokenizer):
    tokens, numbers = _row(tokenizer, [',', '6', '##1', ',', '12', ',', '6', '##1'])
    torch.manual_seed(0)
    noisy = NumberNoise(tokenizer, probability=1, std=1000)(tokens, numbers)
    assert (noisy != tokens).nonzero()[:, 1].tolist() == [4]


def test_the_ends_of_a_row_do_not_touch_another(tokenizer):
    """A row that ends with a number, above one that begins with one."""
    tokens = torch.tensor([tokenizer.convert_tokens_to_ids(row) for row in ([',', '12'], ['12', ','])])
    torch.manual_seed(1)
    noisy = NumberNoise(tokenizer, probability=1, std=1000)(tokens, torch.tensor([[False, True], [True, False]]))
    assert (noisy != tokens).tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize('arguments', [dict(probability=1.5, std=1), dict(probability=0.5, std=0)])
def test_arguments_out_of_range_are_named(tokenizer, arguments):
    with pytest.raises(ValueError, match='context_noise'):
        NumberNoise(tokenizer, **arguments)
