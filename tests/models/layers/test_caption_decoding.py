"""Constrained decoding against free greedy decoding, whole forward passes, and the codec's own parser."""
import itertools

import numpy as np
import pytest
import torch
from caption_models import (
    bert_tokenizer,
    bert_words,
    greedy_without_cache,
    random_poses,
    teach,
    text_decoder,
)

from clamp_mmpose.codecs import CaptionPose
from clamp_mmpose.models.layers.caption_attention import caption_attention
from clamp_mmpose.models.layers.caption_decoding import decode_captions
from clamp_mmpose.models.layers.caption_grammar import CaptionGrammar
from clamp_mmpose.models.layers.caption_tokenizer import make_tokenizer, vocabulary_words

pytest.importorskip('transformers')
STYLES = ['text', 'simple_text', 'visibility_text', 'simple_visibility_text', 'normalized_text',
          'normalized_simple_text', 'single']
# Captions that a trained model learns; with missing joints they have different lengths.
FAST = dict(
    all=dict(style='simple_text', missing='forbid'),
    some=dict(joints=['rankl', 'rknee', 'upper_neck', 'head', 'lwri', 'relb']),
    normalized=dict(style='normalized_text', missing='forbid', joints=['head', 'rknee', 'lelb']),
)
SLOW = dict(
    visibility=dict(style='visibility_text'),
    single=dict(style='single'),
    wide=dict(input_size=(1920, 40), style='simple_text'),
)


def encode(tokenizer, caption):
    return tokenizer(caption, add_special_tokens=False)['input_ids']


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """name -> codec, grammar, model, image embeddings and the captions that it has learned for them."""
    models = {}

    def train(name):
        if name not in models:
            torch.manual_seed(0)
            codec = CaptionPose(**{**FAST, **SLOW}[name])
            tokenizer = bert_tokenizer(tmp_path_factory.mktemp(name))
            points, there = random_poses(codec, 6, missing=0 if codec.missing == 'forbid' else 0.25)
            captions = [codec.write(*pose) for pose in zip(points, there)]
            model, embeds = text_decoder(tokenizer, width=48), 2 * torch.randn(6, 5, 24)
            teach(model.train(), tokenizer, embeds, captions)
            models[name] = codec, CaptionGrammar(codec, tokenizer), model.eval(), embeds, captions
        return models[name]

    return train


@pytest.mark.parametrize('name', [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_trained_model_writes_the_same_as_free_greedy_decoding_with_at_most_half_the_calls(trained, name):
    _, grammar, model, embeds, captions = trained(name)
    free = [greedy_without_cache(model, embed, end=grammar.end_token, most=150) for embed in embeds]
    constrained = decode_captions(model, embeds, grammar=grammar)
    greedy = decode_captions(model, embeds, grammar=grammar, mode='greedy')
    right = [grammar.accepts(tokens) for tokens, _ in free]
    assert sum(right) >= len(embeds) - 1
    for index, (tokens, _) in enumerate(free):
        assert greedy.token_ids[index].tolist() == tokens
        if right[index]:
            assert constrained.token_ids[index].tolist() == tokens
            assert constrained.captions[index].replace(' ', '') == greedy.captions[index].replace(' ', '')
    # What it learned, in the codec's own bytes.
    assert sum(found == caption for found, caption in zip(constrained.captions, captions)) >= len(embeds) - 1
    assert greedy.calls == max(calls for _, calls in free)
    assert constrained.calls <= greedy.calls / 2
    for embed, (_, calls) in zip(embeds, free):
        assert decode_captions(model, embed[None], grammar=grammar).calls <= max(calls / 2, 1)  # an empty caption


@pytest.mark.parametrize('name', ['all', 'some', 'normalized'])
def test_a_batch_gives_what_its_images_give_alone_in_any_order(trained, name):
    _, grammar, model, embeds, _ = trained(name)
    order = [3, 0, 5, 5, 1]
    batch = decode_captions(model, embeds[order], grammar=grammar, tolerance=3)
    for place, index in enumerate(order):
        alone = decode_captions(model, embeds[[index]], grammar=grammar, tolerance=3)
        assert alone.captions == [batch.captions[place]]
        for key in ('slot_probabilities', 'near_probabilities', 'joint_probabilities'):
            np.testing.assert_allclose(getattr(alone, key)[0], getattr(batch, key)[place], atol=1e-5)


@pytest.mark.parametrize('name', ['all', 'some'])
def test_bfloat16_autocast_writes_what_the_trained_model_learned(trained, name):
    codec, grammar, model, embeds, _ = trained(name)
    with torch.autocast('cpu', torch.bfloat16):
        free = decode_captions(model, embeds, grammar=grammar, mode='greedy')
        found = decode_captions(model, embeds, grammar=grammar)
    same = [not grammar.accepts(ids) or ids.tolist() == other.tolist()
            for ids, other in zip(free.token_ids, found.token_ids)]
    assert all(report.ok for report in codec.decode(found.captions).report)
    assert sum(same) >= 5  # two logits may be one in bfloat16
    assert np.nanmax(found.slot_probabilities) <= 1 + 1e-6


def random_model(grammar, seed, **arguments):
    torch.manual_seed(seed)
    return text_decoder(grammar.tokenizer, scale=[None, 0.1, 0.5, 2][seed % 4], **arguments)


@pytest.mark.parametrize('style', STYLES)
@pytest.mark.parametrize('missing', ['skip', 'forbid'])
@pytest.mark.parametrize('size', [(384, 384), (1, 7), (1300, 101)])
def test_a_random_model_never_writes_a_caption_that_does_not_parse(style, missing, size, tmp_path):
    codec = CaptionPose(size, style=style, missing=missing)
    grammar = CaptionGrammar(codec, bert_tokenizer(tmp_path))
    for seed in range(4):
        output = decode_captions(random_model(grammar, seed), torch.randn(3, 4, 24), grammar=grammar)
        decoded = codec.decode(output.captions)
        assert all(report.ok for report in decoded.report) and output.finished.all()
        assert all(map(grammar.accepts, output.token_ids))
        for caption, points, valid, visible, ids in zip(
                output.captions, decoded.keypoints, decoded.valid, decoded.visible, output.token_ids):
            assert codec.decode(grammar.tokenizer.decode(ids)).report[0].ok
            if style != 'normalized_text' and style != 'normalized_simple_text':
                there = visible if 'visibility' in style else valid
                assert caption == codec.write(points, there if missing == 'skip' else None or there)
        np.testing.assert_array_equal(np.isfinite(output.slot_probabilities).all(axis=-1), decoded.valid)
        assert np.nanmax(output.slot_probabilities, initial=0) <= 1 + 1e-6


@pytest.mark.parametrize('broken', [torch.nan, torch.inf])
def test_a_model_of_nan_and_infinity_writes_captions_that_parse(broken, tmp_path):
    codec = CaptionPose((40, 30), missing='forbid')
    grammar = CaptionGrammar(codec, bert_tokenizer(tmp_path))
    model = random_model(grammar, 0)
    torch.nn.init.constant_(model.cls.predictions.transform.dense.weight, broken)
    output = decode_captions(model, torch.randn(2, 4, 24), grammar=grammar)
    assert all(report.ok for report in codec.decode(output.captions).report)
    valid = codec.decode(output.captions).valid
    assert valid.all() and np.isfinite(output.slot_probabilities[valid]).all()


@torch.no_grad()
def reference(model, embeds, codec, grammar):
    """Constrained decoding of one image by whole forward passes and the list of all captions.

    Returns tokens, and per joint the probabilities of its numbers and of its name, from softmax over what is allowed.
    """
    tokenizer = grammar.tokenizer
    language = every_caption(codec, tokenizer)
    words = dict(enumerate(tokenizer.convert_ids_to_tokens(range(len(tokenizer)))))
    tokens, factors = [], []
    while True:
        logits = model(input_ids=torch.tensor([[model.config.bos_token_id, *tokens]]),
                       encoder_hidden_states=embeds[None], use_cache=False).logits[0, -1].double()
        allowed = sorted({caption[len(tokens)] for caption in language if caption[:len(tokens)] == tuple(tokens)})
        probabilities = logits[allowed].softmax(0)
        best = int(probabilities.argmax())
        digit = np.array([words[token].removeprefix('##').isdigit() for token in allowed])
        if digit[best]:
            number, name = probabilities[best].item(), 1.
        else:
            number = probabilities[~digit].sum().item()
            name = (probabilities[best] / probabilities[~digit].sum()).item()
        factors.append((number, name))
        if allowed[best] == grammar.end_token:
            return tokens, factors
        tokens.append(allowed[best])


def every_caption(codec, tokenizer):
    joints = []
    for _, template in codec.joint_templates():
        parts = [piece.choices if hasattr(piece, 'choices') else (piece.text, ) for piece in template]
        texts = [''.join(part) for part in itertools.product(*parts)]
        joints.append(['', *texts] if codec.missing == 'skip' else texts)
    return [(*encode(tokenizer, ''.join(parts)), tokenizer.sep_token_id) for parts in itertools.product(*joints)]


@pytest.mark.parametrize('missing', ['skip', 'forbid'])
@pytest.mark.parametrize('seed', range(6))
def test_tokens_and_probabilities_are_those_of_whole_passes_over_all_captions(missing, seed, tmp_path):
    # Without two-digit tails each number can be split in one way only.
    words = [word for word in bert_words() if not (word.startswith('##') and word[2:].isdigit())]
    words = [word for word in words if not (word.isdigit() and 10 <= int(word) <= 12)] + [f'##{i}' for i in range(3)]
    codec = CaptionPose((11, 12), names=['rknee', 'rhip', 'head'], joints=[0, 1], missing=missing)
    grammar = CaptionGrammar(codec, bert_tokenizer(tmp_path, words))
    model, embeds = random_model(grammar, seed), torch.randn(2, 4, 24)
    with torch.no_grad():  # 1, which can go on to 10 and 11
        model.cls.predictions.decoder.bias[grammar.tokenizer.convert_tokens_to_ids('1')] += 1 + seed
    output = decode_captions(model, embeds, grammar=grammar)
    for row in range(2):
        tokens, factors = reference(model, embeds[row], codec, grammar)
        assert output.token_ids[row].tolist() == tokens
        pieces = grammar.tokenizer.convert_ids_to_tokens(tokens)
        expected_slots, expected_names = np.full((3, 2), np.nan), np.full(3, np.nan)
        joint, slot, spelled, name = None, None, [], 1.
        for piece, (number, named) in zip([*pieces, '[SEP]'], factors):
            digit = piece.removeprefix('##').isdigit()
            if slot is not None:
                expected_slots[joint, slot] *= number
                if not digit:  # a comma, or the next name
                    slot, spelled, name = (1, [], 1.) if slot == 0 else (None, [piece], named)
            elif piece == ':':
                joint, slot = codec.names.index(''.join(spelled).replace('##', '')), 0
                expected_slots[joint], expected_names[joint] = 1, name
            else:
                spelled.append(piece)
                name *= named
        np.testing.assert_allclose(output.slot_probabilities[row], expected_slots, atol=1e-5)
        np.testing.assert_allclose(output.joint_probabilities[row], expected_names, atol=1e-5)


def test_near_probabilities_add_the_numbers_within_the_tolerance(tmp_path):
    """Of numbers of one piece each this is the softmax over all of them, summed around the likeliest."""
    codec = CaptionPose((20, 20), names=['head'], missing='forbid')
    tokenizer = make_tokenizer(vocabulary_words('caption', codec.template()))
    # No number can go on.
    words = [word for word in tokenizer.get_vocab() if not word.startswith('##')]
    grammar = CaptionGrammar(codec, bert_tokenizer(tmp_path, words))
    model, embeds = random_model(grammar, 1), torch.randn(1, 4, 24)
    fed = torch.tensor([[model.config.bos_token_id, *encode(grammar.tokenizer, 'head:')]])
    with torch.no_grad():
        logits = model(input_ids=fed, encoder_hidden_states=embeds, use_cache=False).logits[0, -1]
    ids = grammar.tokenizer.convert_tokens_to_ids([str(value) for value in range(20)])
    probabilities = logits[ids].softmax(0).numpy()
    best = probabilities.argmax()
    for tolerance in (0, 1, 2.5, 100):
        output = decode_captions(model, embeds, grammar=grammar, tolerance=tolerance)
        near = abs(np.arange(20) - best) <= tolerance
        assert output.slot_probabilities[0, 0, 0] == pytest.approx(probabilities[best], abs=1e-6)
        assert output.near_probabilities[0, 0, 0] == pytest.approx(probabilities[near].sum(), abs=1e-5)


def test_constrained_equals_greedy_on_random_models_whenever_that_happens_to_be_a_caption(tmp_path):
    """The vocabulary has little else, so that some are."""
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[DEC]', 'a', 'b', ':', ',', '0', '1', '##0', '##1']
    codec = CaptionPose((12, 12), names=['a', 'b'])
    with pytest.raises(ValueError, match='lack a piece'):
        CaptionGrammar(codec, bert_tokenizer(tmp_path, words))
    codec = CaptionPose((2, 2), names=['a', 'b'])
    grammar = CaptionGrammar(codec, bert_tokenizer(tmp_path, words))
    accepted = 0
    for seed in range(30):
        model, embeds = random_model(grammar, seed, depth=1), 3 * torch.randn(8, 4, 24)
        with torch.no_grad():
            model.cls.predictions.decoder.bias[3] += 1.  # [SEP] early
        greedy = decode_captions(model, embeds, grammar=grammar, mode='greedy')
        constrained = decode_captions(model, embeds, grammar=grammar)
        for free, ids, finished in zip(greedy.token_ids, constrained.token_ids, greedy.finished):
            if finished and grammar.accepts(free):
                accepted += 1
                assert ids.tolist() == free.tolist()
    assert accepted >= 10


def test_a_number_written_in_other_pieces_stays_as_the_model_wrote_it(tmp_path):
    codec = CaptionPose((384, 384), names=['head'], missing='forbid')
    tokenizer = bert_tokenizer(tmp_path)
    ids = tokenizer.convert_tokens_to_ids(['head', ':', '3', '##8', '##2', ',', '1', '##0', '##0'])
    grammar, model = CaptionGrammar(codec, tokenizer), _follows(tokenizer, ids)
    output = decode_captions(model, torch.randn(1, 4, 24), grammar=grammar)
    assert output.token_ids[0].tolist() == ids and output.captions == ['head:382,100 ']
    # One call for the name, one for each piece of a number.
    assert output.calls == 6


def _follows(tokenizer, ids):
    """A model that writes one sequence of tokens whatever it has read before, by its position embeddings."""
    model = text_decoder(tokenizer, width=len(ids) * 4 + 4, depth=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for norm in (module for module in model.modules() if isinstance(module, torch.nn.LayerNorm)):
            norm.weight.fill_(1)
        eye = torch.eye(model.config.hidden_size)
        model.bert.embeddings.position_embeddings.weight[:len(eye)] = eye
        model.cls.predictions.transform.dense.weight.copy_(eye)
        words = torch.zeros(len(tokenizer), len(eye))
        for position, token in enumerate([*ids, tokenizer.sep_token_id]):
            words[token, position] = 1
        model.cls.predictions.decoder.weight = torch.nn.Parameter(words)
    return model


@pytest.mark.parametrize('text, finished, captions_ok', [
    ('head:3,4 rknee:1,2', True, True),
    ('head:3,4', True, True),
    ('', True, True),
    ('head:3', True, False),
    ('rknee head:3,4 head:5,6 word word rknee:5', True, False),
])
def test_free_decoding_ends_at_the_end_token_and_reads_what_joints_it_can(text, finished, captions_ok, tmp_path):
    codec = CaptionPose((20, 20), names=['head', 'rknee'])
    tokenizer = bert_tokenizer(tmp_path, [*bert_words(), 'word'])
    model, grammar = _follows(tokenizer, encode(tokenizer, text)), CaptionGrammar(codec, tokenizer)
    for mode in ('greedy', 'beam'):
        output = decode_captions(model, torch.randn(2, 4, 24), grammar=grammar, mode=mode, num_beams=1)
        assert output.token_ids[1].tolist() == encode(tokenizer, text)
        assert output.finished.all() and len(output.captions) == 2
        decoded = codec.decode(output.captions)
        assert decoded.report[0].ok is captions_ok
        np.testing.assert_array_equal(np.isfinite(output.slot_probabilities).all(axis=-1), decoded.valid)
        np.testing.assert_array_equal(np.isfinite(output.joint_probabilities), decoded.valid)
    cut = decode_captions(model, torch.randn(1, 4, 24), grammar=grammar, mode='greedy', max_new_tokens=1)
    assert cut.calls == 1 and bool(cut.finished[0]) is (text == '') and len(cut.token_ids[0]) == (text != '')


@pytest.mark.parametrize('name', ['some', 'normalized'])
@pytest.mark.parametrize('num_beams', [1, 4])
def test_beam_search_writes_the_learned_captions_with_the_probabilities_of_greedy(trained, name, num_beams):
    _, grammar, model, embeds, _ = trained(name)
    beam = decode_captions(model, embeds, grammar=grammar, mode='beam', num_beams=num_beams)
    greedy = decode_captions(model, embeds, grammar=grammar, mode='greedy')
    same = [row for row in range(6) if beam.token_ids[row].tolist() == greedy.token_ids[row].tolist()]
    assert len(same) >= 5 and beam.finished.all() and beam.calls >= greedy.calls
    np.testing.assert_allclose(beam.slot_probabilities[same], greedy.slot_probabilities[same], atol=1e-5)


def test_probabilities_of_constrained_and_free_decoding_agree(trained):
    for name in FAST:
        _, grammar, model, embeds, _ = trained(name)
        constrained = decode_captions(model, embeds, grammar=grammar, tolerance=2)
        greedy = decode_captions(model, embeds, grammar=grammar, tolerance=2, mode='greedy')
        rows = [row for row in range(6) if grammar.accepts(greedy.token_ids[row])]
        assert len(rows) >= 5
        for key in ('slot_probabilities', 'near_probabilities', 'joint_probabilities'):
            np.testing.assert_allclose(getattr(constrained, key)[rows], getattr(greedy, key)[rows], atol=1e-5)
        assert (constrained.near_probabilities[rows] >= constrained.slot_probabilities[rows] - 1e-6)[
            np.isfinite(constrained.slot_probabilities[rows])].all()


def test_attention_maps_are_those_of_the_model_for_each_caption_alone(trained):
    _, grammar, model, embeds, _ = trained('some')
    output = decode_captions(model, embeds[:3], grammar=grammar, attention=(1, 2))
    assert len({len(ids) for ids in output.token_ids}) > 1
    for row, (ids, maps) in enumerate(zip(output.token_ids, output.attention)):
        count = len(ids) + 1
        assert maps.self_attention.shape == (count, count) and maps.cross_attention.shape == (count, 5)
        assert not maps.self_attention.triu(1).any()
        torch.testing.assert_close(maps.self_attention.sum(-1), torch.ones(count))
        hidden = []
        layer = model.bert.encoder.layer[1]
        handle = layer.crossattention.self.register_forward_pre_hook(
            lambda module, args, hidden=hidden: hidden.append(args[0]))
        with torch.no_grad():
            model(input_ids=torch.cat([torch.tensor([model.config.bos_token_id]), ids])[None],
                  encoder_hidden_states=embeds[row, None], use_cache=False)
        handle.remove()
        part = slice(2 * 12, 3 * 12)  # head 2 of 4, of a width of 48
        cross = layer.crossattention.self
        scores = cross.query(hidden[0])[0][:, part] @ cross.key(embeds[row])[:, part].T / 12**0.5
        torch.testing.assert_close(maps.cross_attention, scores.softmax(-1).detach())
    everything = caption_attention(model, embeds[:1], output.token_ids[:1], layer=-1)[0]
    assert everything.self_attention.shape == (4, *output.attention[0].self_attention.shape)
    torch.testing.assert_close(everything.cross_attention[2], output.attention[0].cross_attention)


def test_arguments_that_make_no_sense_are_refused(tmp_path):
    codec = CaptionPose((20, 20), names=['head'])
    grammar = CaptionGrammar(codec, bert_tokenizer(tmp_path))
    model, embeds = random_model(grammar, 0), torch.randn(1, 4, 24)
    for arguments, message in (
        (dict(mode='sampling'), r"mode='sampling' is not one of \['constrained', 'greedy', 'beam'\]"),
        (dict(num_beams=0), 'num_beams=0'),
        (dict(max_new_tokens=0), 'max_new_tokens=0'),
        (dict(attention=(2, 0)), 'layer=2 must be -2 to 1'),
        (dict(attention=(0, 4)), 'head=4 must be -4 to 3'),
    ):
        with pytest.raises(ValueError, match=message):
            decode_captions(model, embeds, grammar=grammar, **arguments)
    short = random_model(grammar, 0, positions=5)
    with pytest.raises(ValueError, match='text model has positions for 4'):
        decode_captions(short, embeds, grammar=grammar)


def test_a_batch_of_no_images_has_no_captions(tmp_path):
    grammar = CaptionGrammar(CaptionPose(), bert_tokenizer(tmp_path))
    for mode in ('constrained', 'greedy', 'beam'):
        output = decode_captions(random_model(grammar, 0), torch.zeros(0, 4, 24), grammar=grammar, mode=mode,
                                 attention=(0, 0))
        assert output.captions == [] and output.calls == 0 and output.attention == []
        assert output.slot_probabilities.shape == (0, 16, 2)


def test_positions_that_just_hold_the_usual_captions_are_enough(tmp_path):
    codec = CaptionPose((384, 384), missing='forbid')
    grammar = CaptionGrammar(codec, bert_tokenizer(tmp_path, bert_words()))
    for seed in range(2):
        model = random_model(grammar, seed, positions=134)
        for mode in ('constrained', 'greedy'):
            output = decode_captions(model, torch.randn(2, 4, 24), grammar=grammar, mode=mode)
            assert mode == 'greedy' or all(report.ok for report in codec.decode(output.captions).report)
            assert max(map(len, output.token_ids)) <= 133
