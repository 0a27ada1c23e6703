"""From images to poses in the dataset's form."""
import copy
import inspect

import numpy as np
import pytest
import torch
from mmpose.registry import MODELS
from transformers import BlipVisionModel

from clamp_mmpose.testing import randomize, tiny_blip_model

NAMES = ['head', 'rhand', 'lhand', 'rfoot', 'lfoot']


def _predict(model, data):
    with torch.no_grad():
        return model.eval()(**copy.deepcopy(data), mode='predict')


@pytest.mark.parametrize('decoding', ['constrained', 'greedy', 'beam'])
def test_keypoints_are_those_of_the_caption_in_the_original_image(make, batch, decoding):
    model = make(test_cfg=dict(decoding=decoding))
    data = batch(model)
    for sample in data['data_samples']:
        # A box of 200x100 pixels around (150, 80), squeezed into the input.
        sample.set_metainfo(dict(input_center=np.array([150.0, 80.0]), input_scale=np.array([200.0, 100.0])))
    for sample in _predict(model, data):
        caption, found = sample.pred_caption, sample.pred_instances
        assert found.captions == [caption['caption']]
        assert found.keypoints.shape == (1, 5, 2)
        assert found.keypoint_scores.shape == found.keypoints_visible.shape == (1, 5)
        decoded = model.codec.decode(caption['caption'])
        expected = decoded.keypoints[0] / 64 * [200, 100] + [50, 30]
        np.testing.assert_allclose(found.keypoints[0], expected, rtol=1e-6)
        np.testing.assert_array_equal(found.keypoint_scores[0] > 0, decoded.valid[0])
        assert (found.keypoint_scores <= 1).all()
        assert caption['ok'] == decoded.report[0].ok


def test_constrained_captions_always_parse(make, batch):
    model = make(codec=dict(type='CaptionPose', input_size=(64, 64), names=NAMES, missing='forbid'))
    for sample in _predict(model, batch(model, batch_size=4)):
        assert sample.pred_caption['ok']
        assert (sample.pred_instances.keypoint_scores > 0).all()


def test_one_caption_does_not_depend_on_the_others_in_the_batch(make, batch):
    model = make()
    data = batch(model, batch_size=3)
    together = _predict(model, data)
    for index, expected in enumerate(together):
        alone, = _predict(model, dict(inputs=data['inputs'][index:index + 1],
                                      data_samples=data['data_samples'][index:index + 1]))
        assert alone.pred_caption['caption'] == expected.pred_caption['caption']
        np.testing.assert_allclose(alone.pred_instances.keypoint_scores, expected.pred_instances.keypoint_scores,
                                   rtol=1e-4)


def test_a_score_is_the_probability_of_the_place(batch):
    """By hand: the softmax over whole numbers behind the caption's own beginning, summed over those near enough."""
    codec = dict(type='CaptionPose', input_size=(64, 64), names=NAMES, missing='forbid')
    # A vocabulary in which every number is one piece, so that nothing else can be near.
    words = [*NAMES, ':', ',', *map(str, range(64))]
    model = randomize(MODELS.build(tiny_blip_model(codec=codec, vocabulary=words, test_cfg=dict(tolerance=2.0))))
    data = batch(model, batch_size=1)
    sample, = _predict(model, data)
    text = model.blip.config.text_config
    ids = torch.tensor([[text.bos_token_id, *sample.pred_caption['tokens']]])
    with torch.no_grad():
        logits = model.eval().blip(pixel_values=data['inputs'], input_ids=ids).logits[0]
    tokenizer = model.architecture.tokenizer
    tokens = tokenizer.convert_ids_to_tokens(ids[0].tolist())
    numbers = tokenizer.convert_tokens_to_ids([str(number) for number in range(64)])
    near = []
    for place, token in enumerate(tokens):
        if token.isdigit():
            probabilities = logits[place - 1, numbers].softmax(dim=0)
            near.append(float(probabilities[max(int(token) - 2, 0):int(token) + 3].sum()))
    np.testing.assert_allclose(sample.pred_instances.keypoint_scores[0],
                               np.sqrt(np.array(near[::2]) * near[1::2]), rtol=1e-4)


def test_visibility_captions_give_visibility(make, batch):
    codec = dict(type='CaptionPose', input_size=(64, 64), names=NAMES, style='visibility_text')
    model = make(codec=codec)
    for sample in _predict(model, batch(model, codec=codec)):
        decoded = model.codec.decode(sample.pred_caption['caption'])
        np.testing.assert_array_equal(sample.pred_instances.keypoints_visible, decoded.visible)
        # Of two choices the likelier one, and not the sum of both.
        assert ((sample.pred_instances.keypoint_scores >= 0.5) & (sample.pred_instances.keypoint_scores < 1)).all()


@pytest.mark.parametrize('style', ['normalized_text', 'simple_text', 'single'])
def test_other_styles_train_and_predict(batch, style):
    names = ['head', 'rknee', 'lknee', 'relb', 'lelb']
    codec = dict(type='CaptionPose', input_size=(64, 64), names=names, style=style)
    if style == 'single':
        codec['joints'] = ['head']
    model = randomize(MODELS.build(tiny_blip_model(codec=codec)))
    data = batch(model, codec=codec)
    assert model(**data, mode='loss')['loss_caption'].isfinite()
    assert all(sample.pred_caption['ok'] for sample in _predict(model, data))


@pytest.mark.skipif('interpolate_pos_encoding' not in inspect.signature(BlipVisionModel.forward).parameters,
                    reason='this transformers cannot interpolate positions')
@pytest.mark.parametrize(('input_size', 'image_size'), [((48, 64), 64), ((96, 96), 64), ((64, 64), 128)])
def test_an_image_tower_takes_other_sizes(batch, input_size, image_size):
    codec = dict(type='CaptionPose', input_size=input_size, names=NAMES)
    config = tiny_blip_model(codec=codec)
    config['blip']['vision_config']['image_size'] = image_size
    model = randomize(MODELS.build(config))
    data = batch(model, codec=codec)
    cells = input_size[0] * input_size[1] // 16**2
    assert model.extract_feat(data['inputs']).shape == (2, 1 + cells, 32)
    model(**data, mode='loss')['loss_caption'].backward()
    assert model.blip.vision_model.embeddings.position_embedding.grad.any()
    _predict(model, data)


def test_base_size_has_577_image_tokens_and_the_known_number_of_parameters():
    """The totals of BLIP-base, whose output layer is the table of words."""
    from clamp_mmpose.checkpoint.blip_architecture import blip_from_dict
    from clamp_mmpose.models.layers.caption_tokenizer import make_tokenizer
    words = [f'[unused{index}]' for index in range(30517)]  # and 5 special ones: BERT's 30522
    architecture = blip_from_dict({}, make_tokenizer([*words, '[ENC]']), image_size=384)
    assert architecture.config.text_config.num_attention_heads == 12
    with torch.device('meta'):
        blip = architecture.build()
    count = [sum(parameter.numel() for parameter in module.parameters())
             for module in (blip, blip.vision_model, blip.text_decoder.bert.embeddings,
                            blip.text_decoder.bert.encoder)]
    assert count == [223_971_644, 86_090_496, 23_837_184, 113_421_312]
    assert blip.vision_model.embeddings.position_embedding.shape[1] == 577
    assert sum(tensor.numel() for name, tensor in blip.state_dict().items()) == 247_414_076 + 30524


def test_inputs_of_another_size_than_the_captions_are_refused(make, batch):
    model = make()
    codec = dict(type='CaptionPose', input_size=(96, 64), names=NAMES)
    with pytest.raises(ValueError, match='inputs are 96x64 pixels and the captions of the codec are about 64x64'):
        _predict(model, batch(model, codec=codec))


def test_there_is_no_flip_test(make, batch):
    with pytest.raises(ValueError, match='flip_test=True'):
        make(test_cfg=dict(flip_test=True))
    model = make()
    model.test_cfg['flip_test'] = True  # as an inferencer sets it
    with pytest.raises(ValueError, match='flip_test=True'):
        _predict(model, batch(model))


def test_half_precision_predicts(make, batch):
    model = make()
    data = batch(model)
    exact = _predict(model, data)
    rough = _predict(model.bfloat16(), data)
    for one, other in zip(exact, rough):
        assert len(one.pred_caption['tokens']) > 0 and other.pred_instances.keypoint_scores.dtype == np.float32
    assert model.blip.vision_model.embeddings.position_embedding.dtype == torch.bfloat16


def test_attention_is_kept_on_request(make, batch):
    model = make(test_cfg=dict(attention=(1, 0)))
    sample = _predict(model, batch(model))[1]
    length = 1 + len(sample.pred_caption['tokens'])
    assert sample.pred_caption['attention'].self_attention.shape[-2:] == (length, length)
    assert sample.pred_caption['attention'].cross_attention.shape[-2:] == (length, 17)


def test_output_keypoints_can_be_chosen(make, batch):
    model = make(test_cfg=dict(output_keypoint_indices=[4, 0]))
    data = batch(model)
    every = _predict(make(), data)
    for chosen, sample in zip(_predict(model, data), every):
        np.testing.assert_array_equal(chosen.pred_instances.keypoints, sample.pred_instances.keypoints[:, [4, 0]])


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(digit_weight=0), 'digit_weight=0 must be more than 0'),
    (dict(label_smoothing=1), r'label_smoothing=1 must be in \[0, 1\)'),
    (dict(test_cfg=dict(decoding='sample')), "decoding='sample' of test_cfg must be one of"),
    (dict(backbone=dict(type='ResNet', depth=50)), 'backbone=.* must be empty'),
    (dict(init_cfg=dict(type='Normal', std=0.1)), "must be of type 'Pretrained'"),
    (dict(vocabulary=None), 'blip needs a vocabulary'),
    (dict(vocabulary='no/such/vocab.txt'), "vocabulary='no/such/vocab.txt' is no file"),
    (dict(vocabulary=['head', 'hand', ':', ',']), r'vocabulary has no'),
    (dict(codec=dict(type='CaptionPose', input_size=(60, 64), names=NAMES)), 'multiples of the patch size, 16'),
    (dict(blip=dict(text_config=dict(hidden=32))), r"blip.text_config has unknown fields \['hidden'\]"),
    (dict(blip=dict(depth=3)), r"blip has unknown fields \['depth'\]"),
    (dict(pretrained='somewhere', blip=dict()), 'leave out blip and vocabulary'),
])
def test_arguments_that_cannot_be_are_named(arguments, message):
    config = tiny_blip_model(**arguments)
    config.update(arguments)
    with pytest.raises(ValueError, match=message):
        MODELS.build(config)


def test_captions_longer_than_the_text_model_are_refused_when_the_model_is_built():
    config = tiny_blip_model()
    config['blip']['text_config']['max_position_embeddings'] = 20
    with pytest.raises(ValueError, match=r'up to .* tokens; the text model has positions for 19'):
        MODELS.build(config)
