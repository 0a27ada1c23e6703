"""Every scheme of MMEngine's loader reads safely; files of other kinds are named as what they are."""
import builtins
import io
import shutil
import sys
import tarfile
import types

import pytest
import torch
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from clamp_mmpose.checkpoint import CheckpointError, UnsafeCheckpointError, safe_load, safe_loading

WEIGHTS = dict(state_dict={'backbone.weight': torch.arange(3.0)})


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return builtins.eval, (f'open({str(self.marker)!r}, "w")',)


class Backend:
    """Stands for the storage backends that are asked for the bytes of a path."""

    def __init__(self, source):
        self.source = source

    def get(self, _):
        return self.source.read_bytes()


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A checkpoint that every scheme leads to."""
    source, hub = tmp_path / 'source.pth', tmp_path / 'hub'
    torch.save(WEIGHTS, source)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(hub))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', lambda url, path, **_: shutil.copy(source, path))
    address = 'https://models.example/weights/model-1234.pth?download=1'
    monkeypatch.setattr(mmengine_checkpoint, 'get_torchvision_models', lambda: {'model': address})
    monkeypatch.setattr(mmengine_checkpoint, 'get_mmcls_models', lambda: {'model': address})
    monkeypatch.setattr(mmengine_checkpoint, 'get_external_models', lambda: {'model': address, 'own': 'own.pth'})
    monkeypatch.setattr(mmengine_checkpoint, 'get_deprecated_model_names', lambda: {'old-name': 'model'})
    monkeypatch.setattr(mmengine_checkpoint, '_get_mmengine_home', lambda: str(tmp_path))
    (tmp_path / 'own.pth').symlink_to(source)
    monkeypatch.setattr(safe_loading, 'get_file_backend', lambda *_, **__: Backend(source))
    model = types.SimpleNamespace(name='model.pth', download=lambda path: shutil.copy(source, path))
    pavi = types.SimpleNamespace(modelcloud=types.SimpleNamespace(get=lambda name: model))
    monkeypatch.setitem(sys.modules, 'pavi', pavi)
    return source


ADDRESSES = [
    'http://models.example/model.pth',
    'https://models.example/model.pth',
    'torchvision://model',
    'modelzoo://model',
    'open-mmlab://model',
    'openmmlab://old-name',
    'openmmlab://own',
    'mmcls://model',
    's3://bucket/model.pth',
    'cluster:s3://bucket/model.pth',
    'petrel://bucket/model.pth',
    'pavi://model',
]


@pytest.mark.parametrize('address', ADDRESSES)
def test_scheme_loads(remote, address):
    loaded = CheckpointLoader.load_checkpoint(address, 'cpu')['state_dict']
    name = 'weight' if address.startswith('mmcls') else 'backbone.weight'
    torch.testing.assert_close(dict(loaded), {name: torch.arange(3.0)})


@pytest.mark.parametrize('address', ADDRESSES)
def test_scheme_refuses_code(remote, tmp_path, address):
    marker = tmp_path / 'marker'
    torch.save(dict(WEIGHTS, meta=Evil(marker)), remote)
    with pytest.raises(UnsafeCheckpointError, match='eval'):
        CheckpointLoader.load_checkpoint(address, 'cpu')
    assert not marker.exists()


def test_no_loader_of_mmengine_is_left():
    for prefix, loader in CheckpointLoader._schemes.items():
        assert loader.__module__ == 'clamp_mmpose.checkpoint.safe_loading', prefix


def test_a_downloaded_file_is_kept(remote, tmp_path, monkeypatch):
    CheckpointLoader.load_checkpoint('https://models.example/model.pth')
    assert (tmp_path / 'hub/checkpoints/model.pth').is_file()
    monkeypatch.setattr(torch.hub, 'download_url_to_file', None)
    CheckpointLoader.load_checkpoint('https://models.example/model.pth')


def test_torchscript_archive_is_named_and_sent_to_the_right_place(tmp_path):
    path = str(tmp_path / 'RN50.pt')
    torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.zeros(1, 1)), path)
    with pytest.raises(CheckpointError, match=r'RN50\.pt is a TorchScript archive.*CLIPPretrained'):
        CheckpointLoader.load_checkpoint(path)


def test_tar_archive_is_refused(tmp_path):
    (tmp_path / 'storages').write_bytes(b'')
    path = tmp_path / 'old.pth'
    with tarfile.open(path, 'w') as archive:
        archive.add(tmp_path / 'storages', 'storages')
    with pytest.raises(CheckpointError, match=r'old\.pth is a tar archive'):
        CheckpointLoader.load_checkpoint(str(path))
    with pytest.raises(CheckpointError, match=r'old\.pth is a tar archive'):
        safe_load(io.BytesIO(path.read_bytes()), name='old.pth')


@pytest.mark.parametrize('new_format', [True, False], ids=['zip', 'before-zip'])
@pytest.mark.parametrize('kept', [0, 0.3, 0.9])
def test_truncated_file_is_named(tmp_path, new_format, kept):
    path = tmp_path / 'part.pth'
    torch.save(dict(weight=torch.randn(1000)), path, _use_new_zipfile_serialization=new_format)
    path.write_bytes(path.read_bytes()[:int(kept * path.stat().st_size)])
    with pytest.raises(CheckpointError, match=r'part\.pth'):
        CheckpointLoader.load_checkpoint(str(path))


@pytest.mark.parametrize('content', [b'<!DOCTYPE html><html></html>', b'\x00' * 64, b'weights', b'PK\x03\x04'])
def test_file_of_another_kind_is_named(tmp_path, content):
    path = tmp_path / 'page.pth'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r'page\.pth'):
        CheckpointLoader.load_checkpoint(str(path))


@pytest.mark.parametrize('path', ['missing.pth', '.'])
def test_missing_file_is_named(path):
    with pytest.raises(FileNotFoundError, match=path):
        CheckpointLoader.load_checkpoint(path)
