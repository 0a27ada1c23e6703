"""The loss, and what is trained."""
import math

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmpose.registry import MODELS

from clamp_mmpose.testing import pack_batch, tiny_blip_model


def _losses(model, data):
    return model(**data, mode='loss')


def _hugging_face_loss(model, data):
    """By transformers alone, from its own tokenizer call; padded labels are ignored as its documentation asks."""
    tokenizer, text = model.architecture.tokenizer, model.blip.config.text_config
    captions = [sample.gt_instance_labels.caption[0] for sample in data['data_samples']]
    rows = [[text.bos_token_id, *tokenizer.encode(caption, add_special_tokens=False), text.sep_token_id]
            for caption in captions]
    length = max(map(len, rows))
    ids = torch.tensor([row + [text.pad_token_id] * (length - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    return model.blip(pixel_values=data['inputs'], input_ids=ids, attention_mask=mask,
                      labels=ids.masked_fill(mask == 0, -100)).loss


def test_the_loss_is_that_of_hugging_face(make, batch):
    model = make()
    # Two hidden keypoints leave a shorter caption in neither; so one of each.
    data = batch(model, batch_size=1, seed=1)
    shorter = batch(model, batch_size=1, hidden=(0, 3))
    data = dict(inputs=torch.cat([data['inputs'], shorter['inputs']]),
                data_samples=data['data_samples'] + shorter['data_samples'])
    lengths = {len(sample.gt_instance_labels.caption[0]) for sample in data['data_samples']}
    assert len(lengths) == 2
    torch.testing.assert_close(_losses(model, data)['loss_caption'], _hugging_face_loss(model, data))


def test_an_untrained_model_knows_nothing(batch):
    model = MODELS.build(tiny_blip_model())
    losses = _losses(model, batch(model))
    vocabulary = len(model.architecture.tokenizer)
    assert float(losses['loss_caption']) == pytest.approx(math.log(vocabulary), rel=0.02)


def test_an_untrained_model_sees_the_picture():
    """The image tower of transformers starts at a constant, with a spread of 1e-10."""
    model = MODELS.build(tiny_blip_model()).eval()
    with torch.no_grad():
        tokens = model.extract_feat(torch.rand(2, 3, 64, 64))
    assert (tokens[0] - tokens[1]).abs().max() > 1e-3


def test_digits_weigh_what_is_asked(make, batch):
    """With weight w the loss is (names + w numbers) / (count + w count) of the sums of each kind."""
    parts = {}
    for weight in (1.0, 3.0, 1e-9):
        model = make(digit_weight=weight)
        parts[weight] = _losses(model, batch(model))['loss_caption'].double()
    # 5 joints with 4 tokens that are no number and 2 that are one (whole numbers up to 63), 1 end.
    names, numbers = 5 * 3 + sum(_extra_pieces(model)) + 1, 5 * 2
    name_mean = parts[1e-9]
    number_mean = (parts[1.0] * (names + numbers) - name_mean * names) / numbers
    expected = (names * name_mean + 3 * numbers * number_mean) / (names + 3 * numbers)
    torch.testing.assert_close(parts[3.0], expected, rtol=1e-5, atol=0)


def _extra_pieces(model):
    return [len(model.architecture.tokenizer.tokenize(name)) - 1 for name in model.codec.names]


def test_accuracies_count_labels_alone(make, batch):
    """A model that always says ':' is right at one token in so many, and at no number."""
    model = make()
    colon = model.architecture.tokenizer.convert_tokens_to_ids(':')
    with torch.no_grad():
        model.blip.text_decoder.cls.predictions.bias[colon] = 1e4
    losses = _losses(model, batch(model))
    tokens = 5 * (1 + 1 + 1 + 1 + 1) + 1  # name : number , number, and the end
    assert float(losses['acc_token']) == pytest.approx(5 / tokens)
    assert float(losses['acc_digit']) == 0


def test_label_smoothing_is_the_arguments_alone(make, batch, folder):
    plain = make()
    data = batch(plain)
    losses = [_losses(make(label_smoothing=smoothing), data)['loss_caption'] for smoothing in (0.0, 0.1)]
    assert losses[0] != losses[1]
    config = (folder / 'config.json').read_text()
    assert '"label_smoothing": 0.0' in config
    (folder / 'config.json').write_text(config.replace('"label_smoothing": 0.0', '"label_smoothing": 0.1'))
    model = MODELS.build(tiny_blip_model(pretrained=str(folder)))
    assert model.blip.text_decoder.label_smoothing == 0
    torch.testing.assert_close(_losses(model, data)['loss_caption'], _hugging_face_loss(model, data))


def test_all_parameters_are_trained(make, batch):
    model = make()
    _losses(model, batch(model))['loss_caption'].backward()
    without = [name for name, parameter in model.named_parameters()
               if parameter.grad is None or not parameter.grad.any()]
    assert without == []


def test_what_is_frozen_keeps_its_weights_and_stays_in_eval_mode(make, batch):
    model = make(frozen=['vision_model', 'text_decoder.bert.encoder.layer.0']).train()
    _losses(model, batch(model))['loss_caption'].backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert not any(name.startswith(('blip.vision_model', 'blip.text_decoder.bert.encoder.layer.0.'))
                   for name in trained)
    assert any(name.startswith('blip.text_decoder.bert.encoder.layer.1.') for name in trained)
    assert not model.blip.vision_model.post_layernorm.training
    assert not model.blip.text_decoder.bert.encoder.layer[0].training
    assert model.blip.text_decoder.bert.encoder.layer[1].training


def test_frozen_names_whole_parts():
    with pytest.raises(ValueError, match=r"frozen='text_decoder\.bert\.encoder\.layer\.7' is no module"):
        MODELS.build(tiny_blip_model(frozen=['text_decoder.bert.encoder.layer.7']))
    with pytest.raises(ValueError, match="frozen='vision' is no module or parameter"):
        MODELS.build(tiny_blip_model(frozen=['vision']))


def test_gradient_checkpointing_gives_the_same_gradients(make, batch):
    gradients, saved = [], []
    for checkpointing in (False, True):
        model = make(gradient_checkpointing=checkpointing).train()
        data, count = batch(model), []
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor, c=count: c.append(tensor.numel()) or tensor,
                                                      lambda tensor: tensor):
            loss = _losses(model, data)['loss_caption']
        saved.append(sum(count))
        loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    torch.testing.assert_close(gradients[0], gradients[1])
    assert saved[1] < saved[0] / 2


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_trains_in_mixed_precision(make, dtype):
    model = make().train()
    raw = pack_batch(tiny_blip_model()['codec'], 5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    with torch.autocast('cpu', dtype=getattr(torch, dtype)):
        data = model.data_preprocessor(raw, True)
        mixed = _losses(model, data)
    plain = _losses(model, data)
    torch.testing.assert_close(mixed['loss_caption'], plain['loss_caption'], rtol=0.03, atol=0)
    assert mixed['loss_caption'].dtype == torch.float32
    mixed['loss_caption'].backward()
    optimizer.step()


def test_a_training_step_of_mmengine_logs_loss_and_accuracies(make):
    model = make().train()
    raw = pack_batch(tiny_blip_model()['codec'], 5)
    wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
    assert {*model.train_step(raw, wrapper)} == {'loss', 'loss_caption', 'acc_token', 'acc_digit'}


def test_rates_per_part_reach_the_tied_table_once(make):
    """The output layer's weight is the table of words; a constructor that walks the modules meets it twice."""
    model = make()
    wrapper = build_optim_wrapper(model, dict(
        optimizer=dict(type='AdamW', lr=1.0),
        paramwise_cfg=dict(custom_keys={'vision_model': dict(lr_mult=0.1)}, bypass_duplicate=True)))
    own = {id(parameter): name for name, parameter in model.named_parameters()}
    # MMEngine adds a group of its own.
    parameters = [id(parameter) for group in wrapper.param_groups for parameter in group['params']
                  if id(parameter) in own]
    assert sorted(parameters) == sorted(own)


def test_four_pictures_are_learnt_by_heart():
    codec = tiny_blip_model()['codec']
    model = MODELS.build(tiny_blip_model(width=48))
    data = model.data_preprocessor(pack_batch(codec, 5, batch_size=4), True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(250):
        losses = _losses(model.train(), data)
        optimizer.zero_grad()
        losses['loss_caption'].backward()
        optimizer.step()
        if float(losses['acc_token']) == 1 and float(losses['loss_caption']) < 0.2:
            break
    for sample in model.eval()(**data, mode='predict'):
        assert sample.pred_caption['caption'] == sample.gt_instance_labels.caption[0]


def test_a_picture_without_a_visible_keypoint_has_an_empty_caption(make, batch):
    model = make()
    data = batch(model, hidden='all')
    assert {sample.gt_instance_labels.caption[0] for sample in data['data_samples']} == {''}
    losses = _losses(model, data)
    assert losses['loss_caption'].isfinite() and float(losses['acc_digit']) == 0
    torch.testing.assert_close(losses['loss_caption'], _hugging_face_loss(model, data))


def test_a_pipeline_without_captions_is_named(make, batch):
    model = make()
    data = batch(model)
    del data['data_samples'][0].gt_instance_labels
    with pytest.raises(ValueError, match='GenerateTarget'):
        _losses(model, data)
