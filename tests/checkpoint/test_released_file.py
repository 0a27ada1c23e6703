"""Reading the authors' files: how they are wrapped, what they look like when they are something else, and safety."""
import warnings
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from clip_models import build_clip, save_openai_archive
from mmengine.registry import MODELS
from oracles.released_clamp import resize_table
from oracles.released_configs import released_config
from oracles.released_files import TINY_RN, TINY_VIT, make_released_clamp, save_released

from clamp_mmpose.checkpoint import CLIPPretrained, UnsafeCheckpointError
from clamp_mmpose.checkpoint.released_conversion import convert_released
from clamp_mmpose.checkpoint.released_file import read_released_file
from clamp_mmpose.checkpoint.safe_loading import CheckpointError
from clamp_mmpose.testing import tiny_clamp_model
from clamp_mmpose.tools.cli import main


@pytest.fixture(scope='module')
def tensors():
    return make_released_clamp(TINY_VIT)


def assert_holds(file, tensors):
    assert (file.method, file.task, file.num_names()) == ('CLAMP', 'pose', 17)
    assert file.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(file.tensors[name], tensor, equal_nan=True)


@pytest.mark.parametrize('legacy', [False, True])
def test_a_checkpoint_of_mmpose_0(tmp_path, tensors, legacy):
    """With what its hooks leave in ``meta``, and in both of torch's formats."""
    best = np.float64(0.743)
    path = save_released(OrderedDict(tensors), tmp_path / 'epoch_210.pth', CLASSES=None, seed=0, best=best,
                         env_info='sys.platform: linux', numbers=np.arange(3))
    if legacy:
        content = torch.load(path, weights_only=False)
        torch.save(content, path, _use_new_zipfile_serialization=False)
    file = read_released_file(path)
    assert_holds(file, tensors)
    assert file.meta['epoch'] == 210 and file.meta['best'] == best and file.names() is None
    assert file.notes == ['optimizer of the file is not taken over']


def test_a_bare_state_dict(tmp_path, tensors):
    torch.save(tensors, tmp_path / 'weights.pth')
    file = read_released_file(tmp_path / 'weights.pth')
    assert_holds(file, tensors)
    assert file.notes == ['a bare state dict, without meta'] and file.meta == {}


def test_a_file_of_data_parallel(tmp_path, tensors):
    wrapped = {f'module.{name}': tensor for name, tensor in tensors.items()}
    torch.save(dict(state_dict=wrapped), tmp_path / 'weights.pth')
    file = read_released_file(tmp_path / 'weights.pth')
    assert_holds(file, tensors)
    assert file.notes == ["the prefix 'module.' of DataParallel is taken off"]


def test_the_averaged_weights_stand_under_the_usual_names(tmp_path, tensors):
    other = {f'ema_{name.replace(".", "_")}': torch.zeros_like(tensor) for name, tensor in tensors.items()}
    file = read_released_file(save_released(tensors | other, tmp_path / 'ema.pth'))
    assert_holds(file, tensors)
    assert file.set_aside.keys() == other.keys()
    report = convert_released(file, MODELS.build(released_config(TINY_VIT).model)).report
    assert 'ema_gamma' in report.dropped and len(report.renamed) + len(report.dropped) == 2 * len(tensors)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path, tensors, dtype):
    changed = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    file = read_released_file(save_released(changed, tmp_path / 'half.pth'))
    converted = convert_released(file, MODELS.build(released_config(TINY_VIT).model))
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in converted.state_dict.values())
    torch.testing.assert_close(converted.state_dict['neck.gamma'], changed['gamma'].float())
    assert any('half precision become float32' in note for note in converted.report.notes) == (dtype.itemsize == 2)


def test_names_are_found_wherever_the_config_has_them(tmp_path, tensors):
    for text in ("class_names = ['nose', 'tail']", "model = dict(class_names=('nose', 'tail'))",
                 "model = {'head': {'class_names': ['nose', 'tail']}}"):
        torch.save(dict(meta=dict(config=text), state_dict=tensors), tmp_path / 'weights.pth')
        assert read_released_file(tmp_path / 'weights.pth').names() == ['nose', 'tail']
    for text in ('model = (', "class_names = open('x')", "class_names = [1, 'nose']", 'class_names = names', 3, None):
        torch.save(dict(meta=dict(config=text), state_dict=tensors), tmp_path / 'weights.pth')
        assert read_released_file(tmp_path / 'weights.pth').names() is None


# Files that are something else


def _write(path, content):
    torch.save(content, path)
    return path


def clip_archive(path):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return save_openai_archive(build_clip('vit'), path)


def truncated(path):
    save_released(make_released_clamp(TINY_VIT), path)
    path.write_bytes(path.read_bytes()[:100_000])
    return path


OTHERS = {
    'CLIP archive': (clip_archive, "TorchScript archive, not a checkpoint.*type='CLIPPretrained'"),
    'CLIP state dict': (lambda path: _write(path, build_clip('vit').state_dict()),
                        "holds CLIP's own weights, which need no conversion.*CLIPPretrained"),
    'ours': (lambda path: _write(path, dict(state_dict=MODELS.build(tiny_clamp_model()).state_dict(), meta={})),
             'is a checkpoint of clamp_mmpose already; use it as it is'),
    'MMPose': (lambda path: _write(path, dict(state_dict={'backbone.conv1.weight': torch.ones(2),
                                                          'keypoint_head.final_layer.weight': torch.ones(17)})),
               'it has no text_encoder, context_decoder, contexts, gamma among its 2 tensors'),
    'no head': (lambda path: _write(path, {
        name: tensor for name, tensor in make_released_clamp(TINY_VIT).items()
        if name.split('.')[0] in ('backbone', 'text_encoder', 'context_decoder', 'contexts', 'gamma')}),
        'but no head of CLAMP or DenseCLIP: neither keypoint_head'),
    'empty': (lambda path: _write(path, {}), 'holds no weights'),
    'empty state dict': (lambda path: _write(path, dict(state_dict={})), 'holds no weights'),
    'list': (lambda path: _write(path, [torch.ones(2)]), 'holds no weights, but list'),
    'numbers': (lambda path: _write(path, {1: torch.ones(2)}), 'holds no weights'),
    'no tensors': (lambda path: _write(path, dict(epoch=3, lr=[0.1])), "'epoch' is no tensor, but int"),
    'truncated': (truncated, 'truncated, or no checkpoint|is damaged'),
    'text': (lambda path: path.write_text('hello') and path, 'is not a checkpoint, or is damaged|no checkpoint'),
    'no bytes': (lambda path: path.write_bytes(b'') or path, 'no checkpoint|is not a checkpoint'),
}


@pytest.mark.parametrize('kind', OTHERS)
def test_a_file_that_is_something_else_is_refused_by_what_it_is(tmp_path, kind, capsys):
    make, message = OTHERS[kind]
    path = make(tmp_path / 'file.pth')
    with pytest.raises(CheckpointError, match=message):
        read_released_file(path)
    released_config(TINY_VIT).dump(tmp_path / 'config.py')
    out = tmp_path / 'out.pth'
    assert main(['convert', str(path), str(out), '--config', str(tmp_path / 'config.py')]) == 2
    error = capsys.readouterr().err
    assert error.startswith('convert: error: ') and error.count('\n') == 1 and not out.exists()


@pytest.mark.parametrize('arguments', [['none.pth', 'out.pth', '--config', 'config.py'],
                                       ['in.pth', 'out.pth', '--config', 'none.py'],
                                       ['.', 'out.pth', '--config', 'config.py'],
                                       ['in.pth', 'out.pth', '--config', 'empty.py'],
                                       ['in.pth', 'out.pth', '--config', 'resnet.py'],
                                       ['in.pth', 'file/out.pth', '--config', 'config.py'],
                                       ['in.pth', 'out.pth', '--config', 'config.py', '--cfg-options', 'model.neck=3']])
def test_wrong_arguments_are_one_line_and_status_2(tmp_path, arguments, monkeypatch, capsys, tensors):
    monkeypatch.chdir(tmp_path)
    save_released(tensors, 'in.pth')
    (tmp_path / 'file').write_text('')
    (tmp_path / 'empty.py').write_text('epochs = 3')
    (tmp_path / 'resnet.py').write_text(
        "model = dict(type='TopdownPoseEstimator', backbone=dict(type='ResNet', depth=18), "
        "head=dict(type='HeatmapHead', in_channels=512, out_channels=17))")
    released_config(TINY_VIT).dump('config.py')
    assert main(['convert', *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith('convert: error: ') and error.count('\n') == 1, error
    assert not (tmp_path / 'out.pth').exists()


class Payload:
    """Writes a file when it is unpickled without care."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


@pytest.mark.parametrize('place', ['meta', 'state_dict', 'optimizer'])
def test_what_a_file_says_is_not_run(tmp_path, tensors, place):
    mark = tmp_path / 'mark'
    content = dict(meta={}, state_dict=dict(tensors), optimizer={})
    content[place]['extra'] = Payload(mark)
    with pytest.raises(UnsafeCheckpointError, match='nothing of this one was run'):
        read_released_file(_write(tmp_path / 'evil.pth', content))
    assert not mark.exists()


# Where the released weights began


def released_start(clip, sizes):
    """What the released code makes of CLIP's weights: the towers under new names, and tables of its own sizes."""
    tensors = make_released_clamp(sizes)
    state = {name: tensor.detach().clone() for name, tensor in clip.state_dict().items()}
    for name, tensor in state.items():
        if name.startswith('visual.'):
            tensors[f'backbone.{name[len("visual."):]}'] = tensor
        elif name in ('token_embedding.weight', 'text_projection') or name.startswith(('transformer.', 'ln_final.')):
            tensors[f'text_encoder.{name}'] = tensor
    tensors['text_encoder.positional_embedding'] = state['positional_embedding'][:13]
    for name in ('backbone.positional_embedding', 'backbone.attnpool.positional_embedding'):
        if name in tensors:
            tensors[name] = resize_table(tensors[name], sizes.grid, sizes.grid)
    return tensors


@pytest.mark.parametrize('tower', ['vit', 'resnet'])
def test_a_released_model_at_its_start_is_ours_from_the_same_clip_weights(tmp_path, tower):
    """The converted towers are CLIP's, tensor by tensor; so the text tower in use is the checkpoint's."""
    # CLIP's own tables are for 4x4 and 2x2 cells.
    sizes = replace(TINY_VIT, grid=6) if tower == 'vit' else replace(TINY_RN, blocks=(1, 1, 1, 1), grid=4)
    clip = build_clip(tower)
    torch.save(clip.state_dict(), tmp_path / 'clip.pt')
    tensors = released_start(clip, sizes)
    cfg = released_config(sizes, 'clamp/clamp_rn50-released_4xb32-210e_ap10k-256x256.py' if tower == 'resnet' else
                          'clamp/clamp_vit-b16-released_4xb32-210e_ap10k-256x256.py')
    model, ours = (MODELS.build(cfg.model) for _ in range(2))
    for part in (ours.backbone, ours.neck.prompts.text_encoder):
        CLIPPretrained(str(tmp_path / 'clip.pt'))(part)
    file = read_released_file(save_released(tensors, tmp_path / 'released.pth'))
    model.load_state_dict(convert_released(file, MODELS.build(cfg.model)).state_dict, strict=True)
    for part in ('backbone', 'neck.prompts.text_encoder'):
        found, expected = (m.get_submodule(part).state_dict() for m in (model, ours))
        assert found.keys() == expected.keys()
        for name in expected:
            tolerance = 1e-6 if name.endswith('positional_embedding') else 0
            torch.testing.assert_close(found[name], expected[name], atol=tolerance, rtol=0, msg=name)


def test_the_text_tower_of_the_file_is_used_and_not_the_one_of_the_model(tmp_path, tensors):
    """As DenseCLIP's must be, whose rate of 0 was lifted by its schedule."""
    changed = dict(tensors)
    changed['text_encoder.ln_final.bias'] = tensors['text_encoder.ln_final.bias'] + 0.1
    model = MODELS.build(released_config(TINY_VIT).model)
    embeddings = []
    for content in (tensors, changed):
        file = read_released_file(save_released(content, tmp_path / 'released.pth'))
        embeddings.append(convert_released(file, model).state_dict['neck.prompts.embedding'])
    expected = embeddings[0] + 0.1 * tensors['text_encoder.text_projection'].sum(0)
    torch.testing.assert_close(embeddings[1], expected, atol=1e-5, rtol=1e-4)
