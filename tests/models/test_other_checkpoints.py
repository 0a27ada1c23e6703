"""Checkpoints and codecs of another model: refused, where MMEngine would only warn and go on."""
from copy import deepcopy

import pytest
from mmengine.logging import MMLogger
from mmpose.registry import MODELS

from clamp_mmpose.testing import TINY_RESNET, TINY_TEXT, TINY_VIT, pack_batch, tiny_clamp_model


def _vit(layers):
    return MODELS.build(
        dict(type='CLIPVisionTransformer', arch=dict(TINY_VIT, layers=layers), input_size=(64, 64)))


@pytest.mark.parametrize('there, here', [(2, 3), (3, 2)])
def test_a_vit_of_another_depth_is_refused(there, here):
    with pytest.raises(ValueError, match=r'another architecture.*no such weight'):
        _vit(here).load_state_dict(_vit(there).state_dict(), strict=False)


@pytest.mark.parametrize('there, here', [([1, 1, 2, 1], [1, 1, 1, 1]), ([1, 1, 1, 1], [1, 1, 2, 1])])
def test_a_resnet_of_another_depth_is_refused(there, here):
    source, target = (
        MODELS.build(dict(type='CLIPResNet', arch=dict(TINY_RESNET, layers=layers), input_size=(64, 64)))
        for layers in (there, here))
    with pytest.raises(ValueError, match=r'another architecture.*no such weight'):
        target.load_state_dict(source.state_dict(), strict=False)


def _text(context_length):
    return MODELS.build(dict(type='CLIPTextEncoder', arch=deepcopy(TINY_TEXT), context_length=context_length))


def test_a_longer_table_of_text_positions_is_cut():
    source, target = _text(20), _text(13)
    target.load_state_dict(source.state_dict())
    assert target.tower.positional_embedding.equal(source.tower.positional_embedding[:13])


def test_a_shorter_table_of_text_positions_is_refused():
    with pytest.raises(ValueError, match='context_length=20, but the checkpoint has text positions for 13'):
        _text(20).load_state_dict(_text(13).state_dict(), strict=False)


def _load(there, here):
    source, target = (MODELS.build(tiny_clamp_model(neck=neck)) for neck in (there, here))
    target.load_state_dict(source.state_dict(), strict=False)


TEXT = dict(type='CLIPTextEncoder', arch=deepcopy(TINY_TEXT))


@pytest.mark.parametrize('there, here, argument', [
    (dict(context_decoder=dict(width=32, num_layers=2)), {}, 'context_decoder'),
    ({}, dict(context_decoder=dict(width=64)), 'context_decoder'),
    ({}, dict(prompt_encoder=dict(num_layers=2)), 'prompt_encoder'),
    (dict(num_contexts=4), {}, 'num_contexts or text_encoder'),
    (dict(text_encoder=dict(TEXT, arch=dict(TINY_TEXT, layers=3))), {}, 'arch of text_encoder'),
    ({}, dict(text_encoder=dict(TEXT, arch=dict(TINY_TEXT, layers=3))), 'arch of text_encoder'),
])
def test_parts_of_the_neck_with_another_size_are_refused(there, here, argument):
    with pytest.raises(ValueError, match=f'the checkpoint was written with another {argument}: neck'):
        _load(there, here)


@pytest.mark.parametrize('there, here', [
    ({}, {}),
    (dict(context_decoder=None), {}),
    ({}, dict(context_decoder=None)),
    (dict(template='a {}'), {}),
    (dict(text_encoder=None, embed_dim=32), {}),
])
def test_a_part_that_only_one_side_has_is_left_to_mmengine(there, here):
    _load(there, here)


def test_names_in_another_order_are_told(monkeypatch):
    messages = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', messages.append)
    names = ['left eye', 'right eye', 'nose', 'left front paw', 'tail root']
    source, same = (MODELS.build(tiny_clamp_model(names=names)) for _ in range(2))
    swapped = MODELS.build(tiny_clamp_model(names=[names[1], names[0], *names[2:]]))
    same.load_state_dict(source.state_dict())
    assert not messages
    swapped.load_state_dict(source.state_dict())
    assert "['right eye', 'left eye'] have other places" in ' '.join(messages)


def test_targets_of_another_codec_than_the_heads_are_refused():
    model = MODELS.build(tiny_clamp_model())
    other = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(32, 32), sigma=2)
    batch = model.data_preprocessor(pack_batch(other, 5), training=True)
    with pytest.raises(ValueError, match=r'GenerateTarget makes heatmaps of \(32, 32\).*heatmap_size=\(16, 16\)'):
        model(**batch, mode='loss')
