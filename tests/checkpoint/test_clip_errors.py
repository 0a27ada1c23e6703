"""Files that do not fit give one error that names the file, what was found and what was wanted."""
import json
import re

import pytest
import torch
from clip_models import TOWERS, build_clip, save_hugging_face, save_openai_archive
from mmpose.registry import MODELS
from open_clip import pretrained
from torch import nn

from clamp_mmpose.checkpoint import CheckpointError, CLIPPretrained, UnsafeCheckpointError
from clamp_mmpose.checkpoint.clip_towers import names_like, tower_shape
from clamp_mmpose.testing import TINY_TEXT, TINY_VIT


@pytest.fixture(scope='module')
def models():
    return {tower: build_clip(tower) for tower in TOWERS}


def build(tower='vit', **arch):
    kind, base = dict(vit=('CLIPVisionTransformer', TOWERS['vit']), resnet=('CLIPResNet', TOWERS['resnet']),
                      text=('CLIPTextEncoder', TINY_TEXT))[tower]
    size = {} if tower == 'text' else dict(input_size=(64, 64))
    return MODELS.build(dict(type=kind, arch=dict(base, **arch), **size))


def error_of(kind, checkpoint, module, **kwargs):
    before = {name: tensor.clone() for name, tensor in module.tower.state_dict().items()}
    with pytest.raises(kind) as error:
        CLIPPretrained(str(checkpoint), **kwargs)(module)
    torch.testing.assert_close(dict(module.tower.state_dict()), before, rtol=0, atol=0)
    return str(error.value)


def save(weights, path):
    torch.save(weights, path)
    return path


@pytest.mark.parametrize('tower, arch, found, wanted', [
    ('vit', dict(layers=2), '3 blocks', '2 blocks'),
    ('vit', dict(layers=4), '3 blocks', '4 blocks'),
    ('vit', dict(width=48), 'width 32', 'width 48'),
    ('vit', dict(patch_size=32), 'patch size 16', 'patch size 32'),
    ('vit', dict(embed_dim=16), 'embedding 32', 'embedding 16'),
    ('text', dict(layers=3), '2 blocks', '3 blocks'),
    ('text', dict(width=64), 'width 32', 'width 64'),
    ('text', dict(vocab_size=99), 'vocabulary 49408', 'vocabulary 99'),
    ('text', dict(embed_dim=16), 'embedding 32', 'embedding 16'),
    ('resnet', {}, 'CLIP vision transformer', 'CLIP ResNet'),
])
def test_another_architecture(tmp_path, models, tower, arch, found, wanted):
    path = save(models['vit'].state_dict(), tmp_path / 'model.pt')
    message = error_of(ValueError, path, build(tower, **arch))
    assert str(path) in message
    assert found in message.split(';')[0]
    assert wanted in message.split(';')[1]


@pytest.mark.parametrize('layers', [[1, 1, 2, 1], [1, 1, 1, 2]])
def test_resnet_of_another_depth(tmp_path, models, layers):
    path = save(models['resnet'].state_dict(), tmp_path / 'model.pt')
    message = error_of(ValueError, path, build('resnet', layers=layers))
    assert '1+1+1+1 blocks' in message and f'{"+".join(map(str, layers))} blocks' in message


def test_tower_without_embedding_takes_a_deeper_one_but_no_other_width(tmp_path, models):
    path = save(models['vit'].state_dict(), tmp_path / 'model.pt')
    config = dict(type='CLIPVisionTransformer', input_size=(64, 64), with_embedding=False, out_indices=(1, ))
    CLIPPretrained(str(path))(MODELS.build(dict(config, arch=dict(TINY_VIT))))
    error_of(ValueError, path, MODELS.build(dict(config, arch=dict(TINY_VIT, width=64))))
    error_of(ValueError, path, MODELS.build(dict(config, arch=dict(TINY_VIT, layers=5), out_indices=(3, ))))


@pytest.mark.parametrize('name, part', [('ViT-L-14', 'visual'), ('RN101', 'visual'), ('ViT-B-16', 'text')])
def test_architecture_of_a_file_is_named_as_open_clip_does(name, part):
    import open_clip
    with torch.device('meta'):
        model = open_clip.model.CLIP(**open_clip.get_model_config(name))
    tower = model.visual if part == 'visual' else model
    assert name in names_like(tower_shape(tower.state_dict()))


def test_shape_that_differs_elsewhere(tmp_path, models):
    weights = dict(models['vit'].state_dict())
    weights['visual.transformer.resblocks.0.mlp.c_fc.bias'] = torch.zeros(64)
    path = save(weights, tmp_path / 'model.pt')
    message = error_of(ValueError, path, build())
    assert 'transformer.resblocks.0.mlp.c_fc.bias' in message and '(64,)' in message and '(128,)' in message


def test_missing_tensors(tmp_path, models):
    weights = {k: v for k, v in models['vit'].state_dict().items() if not k.endswith(('ln_pre.bias', 'visual.proj'))}
    path = save(weights, tmp_path / 'model.pt')
    message = error_of(CheckpointError, path, build())
    assert re.search(r'lacks 2 tensors.*proj, ln_pre\.bias|lacks 2 tensors.*ln_pre\.bias, proj', message)
    assert 'allow_missing' in message


def test_text_encoder_longer_than_the_file(tmp_path, models):
    weights = dict(models['vit'].state_dict())
    weights['positional_embedding'] = weights['positional_embedding'][:10]
    path = save(weights, tmp_path / 'model.pt')
    message = error_of(ValueError, path, build('text'))
    assert 'context_length=13' in message and '10 tokens' in message


def test_position_table_that_is_no_square(tmp_path, models):
    weights = dict(models['vit'].state_dict())
    weights['visual.positional_embedding'] = weights['visual.positional_embedding'][:13]
    path = save(weights, tmp_path / 'model.pt')
    assert str(path) in error_of(ValueError, path, build())


@pytest.mark.parametrize('tower, part', [('vit', 'image'), ('text', 'text')])
def test_file_with_the_other_tower_only(tmp_path, models, tower, part):
    kept = {k: v for k, v in models['vit'].state_dict().items() if k.startswith('visual.') == (tower == 'text')}
    path = save(kept, tmp_path / 'model.pt')
    assert f'no {part} tower' in error_of(CheckpointError, path, build(tower))


@pytest.mark.parametrize('content, hint', [
    (nn.Linear(2, 2).state_dict(), 'weight'),
    ({'backbone.conv1.weight': torch.zeros(1)}, 'load_from'),
    ({'vision_model.embeddings.patch_embedding.weight': torch.zeros(8, 3, 4, 4)}, 'visual.conv1.weight'),
    ({'logit_scale': torch.zeros(())}, 'not CLIP'),
    ({}, 'no state dict'),
    ([torch.zeros(1)], 'list'),
    (torch.zeros(1), 'Tensor'),
    (dict(state_dict={}), 'no state dict'),
    (dict(state_dict=None), 'no state dict'),
    ({f'vision_model.encoder.layers.0.self_attn.{part}_proj.bias': torch.zeros((2, ) * size)
      for part, size in (('q', 1), ('k', 2), ('v', 1))}, 'damaged'),
], ids=['another model', 'of MMPose', 'of Hugging Face', 'scale', 'empty', 'list', 'tensor', 'empty inside', 'None',
        'odd shapes'])
def test_file_that_is_not_clip(tmp_path, content, hint):
    path = save(content, tmp_path / 'model.pt')
    message = error_of(CheckpointError, path, build())
    assert str(path) in message and hint in message


def test_file_that_asks_for_code(tmp_path):
    marker = tmp_path / 'marker'

    class Evil:
        def __reduce__(self):
            return eval, (f'open({str(marker)!r}, "w")', )

    path = save({'visual.conv1.weight': Evil()}, tmp_path / 'model.pt')
    assert 'eval' in error_of(UnsafeCheckpointError, path, build())
    assert not marker.exists()


@pytest.mark.parametrize('kind', ['pt', 'bin', 'safetensors', 'archive'])
@pytest.mark.parametrize('kept', [0, 0.01, 0.5, 0.999])
def test_truncated_file(tmp_path, kind, kept):
    path = tmp_path / ('model.safetensors' if kind == 'safetensors' else 'model.pt')
    if kind == 'archive':
        save_openai_archive(build_clip('vit'), path)
    elif kind == 'safetensors':
        pytest.importorskip('safetensors.torch').save_model(build_clip('vit'), path)
    else:
        torch.save(build_clip('vit').state_dict(), path, _use_new_zipfile_serialization=kind == 'pt')
    path.write_bytes(path.read_bytes()[:int(kept * path.stat().st_size)])
    assert str(path) in error_of(CheckpointError, path, build())


def test_page_instead_of_weights(tmp_path):
    for name in ('ViT-B-16.pt', 'model.safetensors'):
        path = tmp_path / name
        path.write_text('<html>404: not found</html>')
        assert str(path) in error_of(CheckpointError, path, build())


@pytest.mark.parametrize('checkpoint', ['missing.pt', 'missing/ViT-B-16', './missing', 'missing.safetensors'])
def test_missing_file(checkpoint):
    assert f"checkpoint='{checkpoint}' does not exist" in error_of(FileNotFoundError, checkpoint, build())


def test_folder_without_weights(tmp_path):
    (tmp_path / 'config.json').write_text(json.dumps(dict(model_type='clip')))
    message = error_of(CheckpointError, tmp_path, build())
    assert str(tmp_path) in message and 'model.safetensors' in message


def test_folder_without_a_shard(tmp_path):
    pytest.importorskip('transformers')
    save_hugging_face(tmp_path, max_shard_size='100KB')
    shard = sorted(tmp_path.glob('*.safetensors'))[1]
    shard.unlink()
    assert shard.name in error_of(CheckpointError, tmp_path, build())


def test_index_cannot_lead_out_of_its_folder(tmp_path, models):
    save(models['vit'].state_dict(), tmp_path / 'outside.bin')
    folder = tmp_path / 'folder'
    folder.mkdir()
    index = dict(weight_map={'visual.conv1.weight': '../outside.bin'})
    (folder / 'pytorch_model.bin.index.json').write_text(json.dumps(index))
    assert 'outside.bin, which is not there' in error_of(CheckpointError, folder, build())


@pytest.mark.parametrize('name, content, hint', [
    ('config.json', dict(model_type='siglip'), "type 'siglip'"),
    ('config.json', '{', 'not JSON'),
    ('model.safetensors.index.json', [], 'does not list weight files'),
])
def test_folder_that_is_not_clip(tmp_path, models, name, content, hint):
    if name == 'config.json':
        save(models['vit'].state_dict(), tmp_path / 'pytorch_model.bin')
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    assert hint in error_of(CheckpointError, tmp_path, build())


def test_hugging_face_has_no_resnet(tmp_path):
    pytest.importorskip('transformers')
    save_hugging_face(tmp_path)
    message = error_of(ValueError, tmp_path, build('resnet'))
    assert 'CLIP vision transformer' in message and 'CLIP ResNet' in message


def test_unknown_tag_lists_the_tags_of_the_arch():
    module = build()
    module.arch_name = 'ViT-B-16-quickgelu'
    message = error_of(ValueError, 'laion3b', module)
    assert "checkpoint='laion3b'" in message and 'openai' in message and 'laion2b_s34b_b88k' in message


def test_tag_needs_an_arch_with_a_name():
    assert 'arch given by name' in error_of(ValueError, 'openai', build())


def test_failed_download_says_what_to_do(monkeypatch):
    def fail(config):
        raise OSError('no route to host')

    monkeypatch.setattr(pretrained, 'download_pretrained', fail)
    module = build()
    module.arch_name = 'ViT-B-16'
    message = error_of(CheckpointError, 'laion2b_s34b_b88k', module)
    assert 'no route to host' in message and 'give its path' in message


def test_module_that_is_no_clip_tower():
    with pytest.raises(ValueError, match='not to Linear'):
        CLIPPretrained('model.pt')(nn.Linear(1, 1))
