"""Weights in every format that CLIP is published in give the source model's own embeddings."""
import copy

import pytest
import torch
from clip_models import NAMES, TOWERS, build_clip, encode_text, rounded_to_half, save_hugging_face, save_openai_archive
from mmpose.registry import MODELS

from clamp_mmpose.testing import TINY_TEXT, tiny_clamp_model

BACKBONES = {'vit': 'CLIPVisionTransformer', 'resnet': 'CLIPResNet'}


def build_backbone(tower, checkpoint, **kwargs):
    init_cfg = dict(type='CLIPPretrained', checkpoint=str(checkpoint))
    config = dict(type=BACKBONES[tower], arch=dict(TOWERS[tower]), input_size=(64, 64), init_cfg=init_cfg)
    backbone = MODELS.build(dict(config, **kwargs))
    backbone.init_weights()
    return backbone.eval()


def build_text_encoder(checkpoint, **kwargs):
    init_cfg = dict(type='CLIPPretrained', checkpoint=str(checkpoint))
    encoder = MODELS.build(dict(dict(type='CLIPTextEncoder', arch=dict(TINY_TEXT), init_cfg=init_cfg), **kwargs))
    encoder.init_weights()
    return encoder.eval()


@torch.no_grad()
def assert_same_embeddings(model, tower, checkpoint):
    images = torch.randn(2, 3, 64, 64)
    pooled = build_backbone(tower, checkpoint)(images).pooled
    torch.testing.assert_close(pooled, model.encode_image(images), rtol=1e-5, atol=1e-5)
    encoder = build_text_encoder(checkpoint)
    embedding = encoder(encoder.pack(NAMES, 0))[0]
    torch.testing.assert_close(embedding, encode_text(model), rtol=1e-5, atol=1e-5)


def save_plain(model, path):
    torch.save(model.state_dict(), path)


def save_before_zip(model, path):
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)


def save_training(model, path):
    """As open_clip's training does, inside DistributedDataParallel."""
    weights = {f'module.{name}': tensor for name, tensor in model.state_dict().items()}
    torch.save(dict(epoch=3, name='run', state_dict=weights, optimizer=dict(state={}, param_groups=[])), path)


def save_compiled_training(model, path):
    torch.save(dict(state_dict={f'_orig_mod.module.{k}': v for k, v in model.state_dict().items()}), path)


def save_safetensors(model, path):
    pytest.importorskip('safetensors.torch').save_model(model, path)


def save_with_openai_sizes(model, path):
    torch.save(dict(model.state_dict(), input_resolution=torch.tensor(64), context_length=torch.tensor(77),
                    vocab_size=torch.tensor(49408)), path)


@pytest.mark.parametrize('tower', TOWERS)
@pytest.mark.parametrize('save, name', [
    (save_plain, 'model.pt'),
    (save_before_zip, 'open_clip_pytorch_model.bin'),
    (save_training, 'epoch_3.pt'),
    (save_compiled_training, 'epoch_3.pth'),
    (save_safetensors, 'open_clip_model.safetensors'),
    (save_with_openai_sizes, 'ViT.pt'),
], ids=lambda value: getattr(value, '__name__', None))
def test_state_dict_of_open_clip(tmp_path, tower, save, name):
    model = build_clip(tower)
    save(model, tmp_path / name)
    assert_same_embeddings(model, tower, tmp_path / name)


def test_state_dict_with_the_text_tower_apart(tmp_path):
    model = build_clip('vit', custom_text=True)
    assert any(name.startswith('text.') for name in model.state_dict())
    save_plain(model, tmp_path / 'model.pt')
    assert_same_embeddings(model, 'vit', tmp_path / 'model.pt')


def test_folder_of_open_clip(tmp_path):
    model = build_clip('vit')
    save_safetensors(model, tmp_path / 'open_clip_model.safetensors')
    assert_same_embeddings(model, 'vit', tmp_path)


@pytest.mark.parametrize('tower', TOWERS)
def test_archive_of_openai(tmp_path, tower):
    model = build_clip(tower)
    path = save_openai_archive(copy.deepcopy(model), tmp_path / 'CLIP.pt')
    backbone = build_backbone(tower, path)
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}
    assert_same_embeddings(rounded_to_half(model), tower, path)


@pytest.mark.parametrize('hidden_act', ['quick_gelu', 'gelu'])
@pytest.mark.parametrize('layout', ['one file', 'shards', 'bin', 'file in folder'])
def test_folder_of_hugging_face(tmp_path, hidden_act, layout):
    pytest.importorskip('transformers')
    model = save_hugging_face(tmp_path, hidden_act=hidden_act,
                              **dict(max_shard_size='100KB') if layout == 'shards' else {})
    path = tmp_path
    if layout == 'shards':
        assert len(list(tmp_path.glob('*.safetensors'))) > 2
    elif layout == 'bin':
        (tmp_path / 'model.safetensors').unlink()
        torch.save(model.state_dict(), tmp_path / 'pytorch_model.bin')
    elif layout == 'file in folder':
        path = tmp_path / 'model.safetensors'

    from open_clip import get_tokenizer
    images, tokens = torch.randn(2, 3, 64, 64), get_tokenizer('ViT-B-32')(NAMES)
    with torch.no_grad():
        # transformers 5 wraps the embedding; its output before the projection is not what CLIP compares.
        image = model.visual_projection(model.vision_model(images).pooler_output)
        text = model.text_projection(model.text_model(tokens).pooler_output)
        features = model.get_image_features(images)
        torch.testing.assert_close(getattr(features, 'pooler_output', features), image)

        quick_gelu = hidden_act == 'quick_gelu'
        pooled = build_backbone('vit', path, quick_gelu=quick_gelu)(images).pooled
        encoder = build_text_encoder(path, quick_gelu=quick_gelu)
        embedding = encoder(encoder.pack(NAMES, 0))[0]
    torch.testing.assert_close(pooled, image, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(embedding, text, rtol=1e-5, atol=1e-5)


def test_both_towers_of_a_pose_model_load_in_one_go(tmp_path):
    model = build_clip('vit')
    save_plain(model, tmp_path / 'model.pt')
    config = tiny_clamp_model('vit')
    init_cfg = dict(type='CLIPPretrained', checkpoint=str(tmp_path / 'model.pt'))
    config['backbone']['init_cfg'] = config['neck']['text_encoder']['init_cfg'] = init_cfg
    estimator = MODELS.build(config)
    estimator.init_weights()
    names = dict(estimator.named_parameters())
    expected = dict(model.named_parameters())
    torch.testing.assert_close(names['backbone.tower.conv1.weight'], expected['visual.conv1.weight'])
    found = [name for name in names if name.endswith('token_embedding.weight')]
    torch.testing.assert_close(names[found[0]], expected['token_embedding.weight'])


def test_initializer_is_found_from_any_scope():
    from mmengine.registry import WEIGHT_INITIALIZERS, DefaultScope
    for scope in ('mmengine', 'mmpose', 'mmdet'):
        with DefaultScope.overwrite_default_scope(scope):
            built = WEIGHT_INITIALIZERS.build(dict(type='CLIPPretrained', checkpoint='x'))
        assert type(built).__name__ == 'CLIPPretrained'
