"""Checkpoints that ask for more than training state are refused, and nothing that they ask for happens."""
import functools
import importlib
import os
import pathlib
import pickle
import subprocess

import numpy as np
import numpy.f2py
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader

from clamp_mmpose.checkpoint import UnsafeCheckpointError

SAFE_BY_DEFAULT = tuple(int(part) for part in torch.__version__.split('.')[:2]) >= (2, 6)


class Call:
    """Pickles as the call ``function(*arguments)``, made by whoever reads the pickle."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __call__(self):
        """Only there because pickle wants what it is told to call to be callable."""

    def __reduce__(self):
        return self.call


def source(marker):
    return f'open({str(marker)!r}, "w").close()'


def array_file(marker):
    np.save(f'{marker}.npy', np.array([Call(eval, source(marker))], object), allow_pickle=True)
    return f'{marker}.npy'


def checkpoint_file(marker):
    torch.save(Call(eval, source(marker)), f'{marker}.pth')
    return f'{marker}.pth'


def hub_folder(marker):
    folder = pathlib.Path(f'{marker}.hub')
    folder.mkdir(exist_ok=True)
    (folder / 'hubconf.py').write_text(source(marker) + '\nmodel = dict\n')
    return str(folder)


# From the file that a successful attack creates, to what the checkpoint holds; and the name in the refusal.
ATTACKS = {
    'os.system': (lambda marker: Call(os.system, f'touch {marker}'), 'posix.system'),
    'subprocess': (lambda marker: Call(subprocess.check_call, ['touch', str(marker)]), 'check_call'),
    'eval': (lambda marker: Call(eval, source(marker)), 'eval'),
    'exec': (lambda marker: Call(exec, source(marker)), 'exec'),
    'open': (lambda marker: Call(open, str(marker), 'w'), 'io.open'),
    'importlib and getattr': (
        lambda marker: Call(Call(getattr, Call(importlib.import_module, 'os'), 'system'), f'touch {marker}'),
        'importlib.import_module'),
    'getattr of another class': (lambda marker: Call(pathlib.Path(marker).touch), 'pathlib'),
    'getattr of an array': (
        lambda marker: Call(Call(getattr, np.zeros(1), 'tofile'), str(marker)), 'builtins.getattr'),
    'getattr of a method': (
        lambda marker: Call(eval, source(marker), Call(getattr, HistoryBuffer.mean, '__globals__')), 'eval'),
    'functools.partial': (lambda marker: Call(functools.partial(os.system, f'touch {marker}')), 'functools.partial'),
    'map': (lambda marker: Call(list, Call(map, os.system, [f'touch {marker}'])), 'list'),
    'numpy.load': (lambda marker: Call(np.load, array_file(marker), None, True), 'numpy.load'),
    'numpy.memmap': (lambda marker: Call(np.memmap, str(marker), 'u1', 'w+', 0, (1,)), 'numpy.memmap'),
    'torch.save': (lambda marker: Call(torch.save, 0, str(marker)), 'torch.serialization.save'),
    'torch.load': (
        lambda marker: Call(functools.partial(torch.load, weights_only=False), checkpoint_file(marker)),
        'functools.partial'),
    'torch.hub': (lambda marker: Call(functools.partial(torch.hub.load, source='local'), hub_folder(marker), 'model'),
                  'functools.partial'),
    'Config.fromstring': (lambda marker: Call(Config.fromstring, source(marker), '.py'), 'mmengine.config'),
}

# Steps towards an attack: each must be refused by itself.
STEPS = {
    'getattr of a constructor': (
        lambda: Call(getattr, HistoryBuffer, '__init__'), "builtins.getattr(HistoryBuffer, '__init__')"),
    'getattr of a class method': (lambda: Call(getattr, HistoryBuffer, 'register_statistics'), 'register_statistics'),
    'getattr of globals': (
        lambda: Call(getattr, Call(getattr, HistoryBuffer, 'mean'), '__globals__'), "getattr(mean, '__globals__')"),
    'getattr of a module': (lambda: Call(getattr, Call(importlib.import_module, 'os'), 'system'), 'import_module'),
    'getattr of a tensor': (lambda: Call(getattr, torch.zeros(1), 'numpy'), "getattr(Tensor, 'numpy')"),
    'getattr of a scheduler': (lambda: Call(getattr, OneCycleParamScheduler, '__init__'), '__init__'),
    'getattr by an unhashable': (lambda: Call(getattr, HistoryBuffer, ['mean']), 'getattr'),
    'call of a method': (lambda: Call(Call(getattr, HistoryBuffer, 'mean'), 0), 'mean'),
    'a scheduler': (lambda: Call(OneCycleParamScheduler, 0, 'lr', 1), 'OneCycleParamScheduler'),
    'object dtype': (lambda: np.dtype(object), "numpy.dtype('O8')"),
    'structured dtype': (lambda: np.dtype([('a', 'i4')]), "numpy.dtype('V4')"),
    'object array': (lambda: np.array([{}], object), "numpy.dtype('O8')"),
    'another array class': (
        lambda: Call(np.zeros(0).__reduce__()[0], HistoryBuffer, (0,), b'b'), '_reconstruct'),
    'a large array': (lambda: Call(np.zeros(0).__reduce__()[0], np.ndarray, (1 << 40,), b'b'), '_reconstruct'),
    'a short number': (lambda: Call(np.float64(0).__reduce__()[0], np.dtype('f8'), b'1234'), 'scalar'),
    'large bytes': (lambda: Call(bytes, 1 << 40), 'bytes'),
    'f2py': (lambda: numpy.f2py.run_main, 'numpy.f2py'),
    'torch.hub.load': (lambda: torch.hub.load, 'torch.hub.load'),
    'import_module': (lambda: importlib.import_module, 'importlib.import_module'),
    'torch.nn.Module': (lambda: torch.nn.Linear(1, 1), 'torch.nn.modules.linear.Linear'),
}


def save(path, content, new_format=True):
    torch.save(dict(state_dict=dict(weight=torch.zeros(1)), message_hub=content), path,
               _use_new_zipfile_serialization=new_format)
    return str(path)


@pytest.mark.parametrize('new_format', [True, False], ids=['zip', 'before-zip'])
@pytest.mark.parametrize('attack', ATTACKS)
def test_attack_is_refused_and_does_nothing(tmp_path, attack, new_format):
    marker = tmp_path / 'marker'
    make, name = ATTACKS[attack]
    path = save(tmp_path / 'attack.pth', make(marker), new_format)

    try:
        torch.load(path, weights_only=False)
    except Exception:
        assert marker.exists()
    assert marker.exists(), 'the attack must work where nothing protects'
    marker.unlink()

    with pytest.raises(UnsafeCheckpointError) as refusal:
        CheckpointLoader.load_checkpoint(path, 'cpu')
    assert path in str(refusal.value)
    assert name in str(refusal.value)
    assert not marker.exists()
    if SAFE_BY_DEFAULT:
        with pytest.raises(pickle.UnpicklingError):
            torch.load(path)
        assert not marker.exists()


@pytest.mark.parametrize('step', STEPS)
def test_step_towards_an_attack_is_refused(tmp_path, step):
    make, name = STEPS[step]
    path = save(tmp_path / 'attack.pth', make())
    with pytest.raises(UnsafeCheckpointError) as refusal:
        CheckpointLoader.load_checkpoint(path, 'cpu')
    assert path in str(refusal.value)
    assert name in str(refusal.value)


@pytest.mark.parametrize('module', [b'os', b'nt', b'posix', b'sys'])
def test_system_is_refused_under_every_module_name(tmp_path, module):
    marker = tmp_path / 'marker'
    path = save(tmp_path / 'attack.pth', Call(os.system, f'touch {marker}'), new_format=False)
    written = pathlib.Path(path).read_bytes()
    assert b'cposix\nsystem\n' in written
    pathlib.Path(path).write_bytes(written.replace(b'cposix\nsystem\n', b'c' + module + b'\nsystem\n'))
    with pytest.raises(UnsafeCheckpointError, match=rf'{module.decode()}\.system'):
        CheckpointLoader.load_checkpoint(path)
    assert not marker.exists()


def test_environment_variable_of_torch_does_not_open_the_door(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    marker = tmp_path / 'marker'
    path = save(tmp_path / 'attack.pth', Call(eval, source(marker)))
    with pytest.raises(UnsafeCheckpointError, match='eval'):
        CheckpointLoader.load_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize('call', ['load_checkpoint', 'resume'])
def test_runner_refuses(tmp_path, call):
    marker = tmp_path / 'marker'
    path = save(tmp_path / 'attack.pth', Call(os.system, f'touch {marker}'))
    runner = Runner(model=torch.nn.Linear(1, 1), work_dir=str(tmp_path), experiment_name=f'refuses-{call}')
    with pytest.raises(UnsafeCheckpointError, match='system'):
        getattr(runner, call)(path)
    assert not marker.exists()


def test_allowing_a_class_as_the_refusal_says_works(tmp_path):
    path = save(tmp_path / 'own.pth', pathlib.PurePosixPath('a/b'))
    with pytest.raises(UnsafeCheckpointError, match='add_safe_globals'):
        CheckpointLoader.load_checkpoint(path)
    allowed = torch.serialization.get_safe_globals()
    try:
        torch.serialization.add_safe_globals([pathlib.PurePosixPath])
        assert CheckpointLoader.load_checkpoint(path)['message_hub'] == pathlib.PurePosixPath('a/b')
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed)
