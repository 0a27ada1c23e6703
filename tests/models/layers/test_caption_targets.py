import pytest
import torch
import torch.nn.functional as F

from clamp_mmpose.models.layers.caption_targets import IGNORED, caption_targets
from clamp_mmpose.models.layers.caption_tokenizer import make_tokenizer

WORDS = ['head', 'c', '##7', ':', ',', '12', '38', '##2']


def _targets(captions, most=512):
    tokenizer = make_tokenizer(WORDS)
    targets = caption_targets(captions, tokenizer, start=100, end=tokenizer.sep_token_id, padding=0, most=most,
                              device=torch.device('cpu'))
    return targets, tokenizer


def test_each_token_is_learnt_from_those_before_it():
    targets, tokenizer = _targets(['head:382,12 ', 'c7:12,12 head:12,12'])
    head, c, seven, colon, comma, twelve, first, second = tokenizer.convert_tokens_to_ids(WORDS)
    end = tokenizer.sep_token_id
    short, long = [head, colon, first, second, comma, twelve], [c, seven, colon, twelve, comma, twelve,
                                                                head, colon, twelve, comma, twelve]
    gap = len(long) - len(short)
    assert targets.tokens.tolist() == [[100, *short] + gap * [0], [100, *long]]
    assert targets.labels.tolist() == [[*short, end] + gap * [IGNORED], [*long, end]]
    numbers = [[tokenizer.convert_ids_to_tokens(label) for label in row[marks].tolist()]
               for row, marks in zip(targets.labels, targets.numbers)]
    assert numbers == [['38', '##2', '12'], ['12', '12', '12', '12']]


def test_the_loss_is_a_weighted_mean_over_the_batch():
    targets, tokenizer = _targets(['head:382,12 ', 'c7:12,12 head:12,12'])
    logits = torch.randn(*targets.labels.shape, len(tokenizer))
    total, weights, right, written = 0.0, 0.0, 0, 0
    for row, labels, marks in zip(logits, targets.labels.tolist(), targets.numbers.tolist()):
        for place, (label, number) in enumerate(zip(labels, marks)):
            if label == IGNORED:
                continue
            weight = 2.5 if number else 1.0
            total += weight * -float(F.log_softmax(row[place], dim=0)[label])
            weights += weight
            right, written = right + int(row[place].argmax() == label), written + 1
    losses = targets.losses(logits, digit_weight=2.5)
    assert float(losses['loss_caption']) == pytest.approx(total / weights, rel=1e-5)
    assert float(losses['acc_token']) == pytest.approx(right / written)


def test_half_precision_logits_lose_nothing_more():
    targets, tokenizer = _targets(['head:12,12 '] * 2)
    logits = torch.randn(*targets.labels.shape, len(tokenizer)).bfloat16()
    torch.testing.assert_close(targets.losses(logits)['loss_caption'], targets.losses(logits.float())['loss_caption'],
                               rtol=0, atol=0)


def test_a_caption_may_fill_all_positions_but_no_more():
    caption = 'head:382,12 '  # 6 tokens, and the start's position
    _targets([caption], most=7)
    with pytest.raises(ValueError, match='a caption of 6 tokens with its start does not fit the 6 positions'):
        _targets([caption], most=6)


def test_words_that_the_vocabulary_lacks_are_an_error():
    with pytest.raises(ValueError, match="the vocabulary lacks words of the caption 'foot:12,12"):
        _targets(['foot:12,12 '])
