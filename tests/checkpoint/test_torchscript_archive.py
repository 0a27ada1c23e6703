"""TorchScript archives give their tensors, and nothing in them runs."""
import importlib.util
import pickle
import struct
import warnings
import zipfile

import pytest
import torch
from torch import nn

from clamp_mmpose.checkpoint.torchscript_archive import is_torchscript, read_torchscript


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4).t().half())
        self.register_buffer('count', torch.tensor(7))
        self.register_buffer('flags', torch.tensor([True, False]))
        self.register_buffer('empty', torch.zeros(0, 3))
        self.sizes = [1, 2]

    def forward(self, x):
        return x @ self.weight.float() * self.sizes[0] + self.count


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(Inner(), nn.Identity())
        self.tied = self.inner[0].weight
        self.view = nn.Parameter(torch.arange(12.).view(3, 4)[1:, 2:])

    def forward(self, x):
        return self.inner(x)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


@pytest.mark.parametrize('compile_model', [
    torch.jit.script, lambda model: torch.jit.trace(model, torch.zeros(1, 4))], ids=['script', 'trace'])
def test_tensors_equal_those_that_torch_loads(tmp_path, compile_model):
    path = tmp_path / 'model.pt'
    torch.jit.save(compile_model(Outer()), path)
    expected = torch.jit.load(str(path)).state_dict()
    found = read_torchscript(path)
    assert sorted(found) == sorted(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor.detach(), rtol=0, atol=0)


EVIL = '''
import torch
from typing import Tuple
from torch import Tensor, nn


class Evil(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor):
        return x

    @torch.jit.export
    def __getstate__(self) -> Tuple[Tensor, bool]:
        return self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: Tuple[Tensor, bool]):
        self.weight = state[0]
        self.training = state[1]
        torch.save(state[0], {marker!r})
'''


def test_program_of_an_archive_does_not_run(tmp_path):
    marker, path = tmp_path / 'marker', tmp_path / 'evil.pt'
    (tmp_path / 'evil_module.py').write_text(EVIL.format(marker=str(marker)))
    spec = importlib.util.spec_from_file_location('evil_module', tmp_path / 'evil_module.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.jit.save(torch.jit.script(module.Evil()), path)
    assert not marker.exists()
    torch.jit.load(str(path))
    assert marker.exists(), 'torch must run it'
    marker.unlink()
    read_torchscript(path)
    assert not marker.exists()


def rewrite(path, change):
    """Writes the archive again with ``change`` applied to the pickle of its modules."""
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in records.items():
            archive.writestr(name, change(content) if name.endswith('/data.pkl') else content)


@pytest.mark.parametrize('name', [b'posix\nsystem', b'builtins\neval', b'builtins\ngetattr', b'torch\nload',
                                  b'torch._utils\n_rebuild_parameter'])
def test_other_callables_are_refused(tmp_path, name):
    path = tmp_path / 'model.pt'
    torch.jit.save(torch.jit.script(Outer()), path)
    rewrite(path, lambda content: content.replace(b'ctorch._utils\n_rebuild_tensor_v2\n', b'c' + name + b'\n', 1))
    with pytest.raises(pickle.UnpicklingError, match=name.split(b'\n')[1].decode()):
        read_torchscript(path)


def test_tensor_beyond_its_storage_is_refused(tmp_path):
    path = tmp_path / 'model.pt'
    torch.jit.save(torch.jit.script(nn.Linear(3, 5)), path)
    # The size (5, 3) of the weight becomes (255, 3).
    rewrite(path, lambda content: content.replace(b'K\x05K\x03', b'K\xffK\x03', 1))
    with pytest.raises(RuntimeError, match='out of bounds'):
        read_torchscript(path)


def test_archives_are_told_from_other_zip_files(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), tmp_path / 'script.pt')
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / 'plain.pt')
    (tmp_path / 'text.pt').write_text('text')
    assert is_torchscript(tmp_path / 'script.pt')
    assert not is_torchscript(tmp_path / 'plain.pt')
    assert not is_torchscript(tmp_path / 'text.pt')


def test_records_are_found_behind_any_padding(tmp_path):
    path = tmp_path / 'model.pt'
    model = nn.Linear(3, 5)
    torch.jit.save(torch.jit.script(model), path)
    with zipfile.ZipFile(path) as archive:
        lengths = set()
        for info in archive.infolist():
            with open(path, 'rb') as file:
                file.seek(info.header_offset + 28)
                lengths.add(struct.unpack('<H', file.read(2))[0])
    assert len(lengths) > 1, 'torch pads records by different amounts'
    torch.testing.assert_close(read_torchscript(path)['weight'], model.weight.data)
    rewrite(path, lambda content: content)
    torch.testing.assert_close(read_torchscript(path)['weight'], model.weight.data)
