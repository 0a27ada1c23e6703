"""What loading CLIP weights reports, resizes, leaves over and warns of."""
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_models import TOWERS, build_clip, save_hugging_face, save_openai_archive
from mmengine.logging import MMLogger
from mmpose.registry import MODELS
from open_clip import pretrained
from torch import nn

from clamp_mmpose.checkpoint import CLIPPretrained
from clamp_mmpose.checkpoint.clip_files import read_clip_file
from clamp_mmpose.checkpoint.clip_loading import load_clip_tower, shorten
from clamp_mmpose.testing import TINY_TEXT


@pytest.fixture(scope='module', params=TOWERS)
def saved(request, tmp_path_factory):
    """An image tower's name, a model, and its file."""
    model = build_clip(request.param)
    path = tmp_path_factory.mktemp('clip') / 'model.pt'
    torch.save(model.state_dict(), path)
    return request.param, model.state_dict(), path


@pytest.fixture(scope='module')
def vit(tmp_path_factory):
    model = build_clip('vit')
    path = tmp_path_factory.mktemp('vit') / 'model.pt'
    torch.save(model.state_dict(), path)
    return model.state_dict(), path


def build(tower, **kwargs):
    if tower == 'text':
        return MODELS.build(dict(dict(type='CLIPTextEncoder', arch=dict(TINY_TEXT)), **kwargs))
    kind = dict(vit='CLIPVisionTransformer', resnet='CLIPResNet')[tower]
    return MODELS.build(dict(dict(type=kind, arch=dict(TOWERS[tower]), input_size=(64, 64)), **kwargs))


@pytest.fixture
def logged():
    """The messages that loading logs, as (level, text)."""
    messages = []

    class Collector(logging.Handler):
        def emit(self, record):
            messages.append((record.levelname, record.getMessage()))

    logger, handler = MMLogger.get_current_instance(), Collector(logging.INFO)
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


def resize_by_loops(table, source, target):
    """Bilinear, sample positions half a cell inside, edges repeated; the first row stays."""
    grid = table[1:].reshape(*source, -1)
    rows = [table[0]]
    for i in range(target[0]):
        for j in range(target[1]):
            y = np.clip((i + 0.5) * source[0] / target[0] - 0.5, 0, source[0] - 1)
            x = np.clip((j + 0.5) * source[1] / target[1] - 0.5, 0, source[1] - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, source[0] - 1), min(left + 1, source[1] - 1)
            dy, dx = y - top, x - left
            rows.append((1 - dy) * ((1 - dx) * grid[top, left] + dx * grid[top, right])
                        + dy * ((1 - dx) * grid[bottom, left] + dx * grid[bottom, right]))
    return np.stack(rows)


@pytest.mark.parametrize('input_size', [(64, 96), (32, 128), (128, 128)])
def test_positions_of_the_image_are_resized_to_the_grid(saved, input_size):
    tower, weights, path = saved
    module = build(tower, input_size=input_size)
    report = load_clip_tower(module, read_clip_file(path))
    key, side = ('positional_embedding', 4) if tower == 'vit' else ('attnpool.positional_embedding', 2)
    expected = resize_by_loops(weights[f'visual.{key}'].numpy(), (side, side), module.grid_size)
    actual = module.tower.state_dict()[key].numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
    assert report.resized == {key: (side**2 + 1, len(expected))}
    assert report.missing == report.left_over == []
    assert sorted(report.loaded) == sorted(module.tower.state_dict())


def test_positions_of_the_text_are_cut(vit):
    weights, path = vit
    module = build('text', context_length=13)
    report = load_clip_tower(module, read_clip_file(path))
    torch.testing.assert_close(module.tower.positional_embedding.data, weights['positional_embedding'][:13])
    assert report.resized == {'positional_embedding': (77, 13)}
    assert report.missing == report.left_over == []


def test_every_tensor_is_copied(saved):
    tower, weights, path = saved
    module = build(tower)
    load_clip_tower(module, read_clip_file(path))
    expected = {name[len('visual.'):]: tensor for name, tensor in weights.items() if name.startswith('visual.')}
    torch.testing.assert_close(dict(module.tower.state_dict()), expected, rtol=0, atol=0)


def test_tower_without_embedding_leaves_its_tensors_over(saved):
    tower, _, path = saved
    module = build(tower, with_embedding=False, out_indices=(0, 1))
    report = load_clip_tower(module, read_clip_file(path))
    assert report.missing == []
    if tower == 'vit':
        assert {'proj', 'ln_post.weight', 'transformer.resblocks.2.ln_1.weight'} < set(report.left_over)
    else:
        assert {'attnpool.q_proj.weight', 'layer3.0.conv1.weight'} < set(report.left_over)
    assert not any(name.startswith(('transformer.resblocks.1.', 'layer2.')) for name in report.left_over)


def test_weights_keep_no_tie_to_the_file(tmp_path, vit):
    weights, _ = vit
    path = tmp_path / 'model.pt'
    torch.save(weights, path)
    module = build('vit')
    load_clip_tower(module, read_clip_file(path))
    before = module.tower.conv1.weight.detach().clone()
    path.write_bytes(b'\0' * path.stat().st_size)
    torch.testing.assert_close(module.tower.conv1.weight.data, before, rtol=0, atol=0)


def test_batch_counts_may_be_missing(tmp_path):
    weights = {k: v for k, v in build_clip('resnet').state_dict().items() if 'num_batches_tracked' not in k}
    torch.save(weights, tmp_path / 'model.pt')
    module = build('resnet')
    report = load_clip_tower(module, read_clip_file(tmp_path / 'model.pt'))
    assert report.missing and all(name.endswith('num_batches_tracked') for name in report.missing)


def test_log_says_what_happened(vit, logged):
    module = build('vit', input_size=(64, 96), with_embedding=False, out_indices=(0, ))
    CLIPPretrained(str(vit[1]))(module)
    (level, message), = logged
    assert level == 'INFO'
    assert str(vit[1]) in message
    assert 'image tower of CLIPVisionTransformer' in message
    assert 'resized: positional_embedding from 17 to 25 rows' in message
    assert 'missing: none' in message
    assert 'left over: ' in message and 'proj' in message and 'transformer.resblocks.1.* (12)' in message


def test_names_of_one_block_are_listed_as_one():
    names = ['proj', 'transformer.resblocks.10.ln_1.weight', 'transformer.resblocks.10.ln_1.bias', 'layer4.0.bn1.bias']
    assert shorten(names) == 'proj, transformer.resblocks.10.* (2), layer4.0.bn1.bias'
    assert shorten([]) == 'none'


def test_missing_tensors_can_be_allowed(tmp_path, vit, logged):
    torch.save({k: v for k, v in vit[0].items() if k != 'visual.ln_pre.weight'}, tmp_path / 'model.pt')
    module = build('vit')
    nn.init.constant_(module.tower.ln_pre.weight, 5)
    CLIPPretrained(str(tmp_path / 'model.pt'), allow_missing=True)(module)
    assert (module.tower.ln_pre.weight == 5).all()
    assert [level for level, message in logged if 'missing: ln_pre.weight' in message] == ['WARNING']


def warnings_of(logged):
    return [message for level, message in logged if level == 'WARNING']


@pytest.mark.parametrize('tower', ['vit', 'text'])
@pytest.mark.parametrize('quick_gelu', [True, False])
def test_openai_weights_want_quick_gelu(tmp_path, logged, tower, quick_gelu):
    path = save_openai_archive(build_clip('vit'), tmp_path / 'ViT.pt')
    CLIPPretrained(str(path))(build(tower, quick_gelu=quick_gelu))
    found = warnings_of(logged)
    assert len(found) == (not quick_gelu)
    if found:
        assert 'trained with QuickGELU' in found[0] and 'quick_gelu=True' in found[0]


@pytest.mark.parametrize('hidden_act', ['quick_gelu', 'gelu'])
@pytest.mark.parametrize('quick_gelu', [True, False])
def test_hugging_face_weights_want_their_activation(tmp_path, logged, hidden_act, quick_gelu):
    pytest.importorskip('transformers')
    save_hugging_face(tmp_path, hidden_act=hidden_act)
    logged.clear()
    CLIPPretrained(str(tmp_path))(build('vit', quick_gelu=quick_gelu))
    found = warnings_of(logged)
    assert len(found) == ((hidden_act == 'quick_gelu') != quick_gelu)
    if found:
        assert f'Use arch=\'...{"" if hidden_act == "gelu" else "-quickgelu"}\'' in found[0]


def test_activation_does_not_matter_to_a_resnet(tmp_path, logged):
    path = save_openai_archive(build_clip('resnet'), tmp_path / 'RN50.pt')
    CLIPPretrained(str(path))(build('resnet', quick_gelu=False))
    assert warnings_of(logged) == []


def named(module, arch_name):
    module.arch_name = arch_name
    return module


@pytest.mark.parametrize('arch_name, tag, quick_gelu, warned', [
    ('ViT-B-32-quickgelu', 'openai', True, None),
    ('ViT-B-32', 'openai', False, "arch='ViT-B-32-quickgelu'"),
    ('ViT-B-32', 'laion2b_s34b_b79k', False, None),
    ('ViT-B-32-quickgelu', 'laion2b_s34b_b79k', True, "arch='ViT-B-32'"),
    ('ViT-B-32', 'laion2b-s34b-b79k', False, None),
])
def test_tag_is_downloaded_for_the_arch(vit, monkeypatch, logged, arch_name, tag, quick_gelu, warned):
    asked = []
    monkeypatch.setattr(pretrained, 'download_pretrained', lambda config: asked.append(config) or str(vit[1]))
    module = named(build('vit', quick_gelu=quick_gelu), arch_name)
    CLIPPretrained(tag)(module)
    assert asked and all(config == pretrained.get_pretrained_cfg('ViT-B-32', tag) for config in asked)
    torch.testing.assert_close(module.tower.conv1.weight.data, vit[0]['visual.conv1.weight'])
    found = warnings_of(logged)
    assert len(found) == (warned is not None)
    assert warned is None or warned in found[0]


def test_address_is_downloaded(vit, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    content = vit[1].read_bytes()
    monkeypatch.setattr(torch.hub, 'download_url_to_file', lambda url, path, **_: Path(path).write_bytes(content))
    module = build('vit')
    CLIPPretrained('https://weights.example/ViT.pt')(module)
    torch.testing.assert_close(module.tower.conv1.weight.data, vit[0]['visual.conv1.weight'])
