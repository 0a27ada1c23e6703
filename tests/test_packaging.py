"""What pip and mim get: the built package holds configs, scripts and model index where mim looks for them."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (
    'clamp_mmpose',
    'clamp_mmpose_cli.py',
    'configs',
    'LICENSE',
    'MANIFEST.in',
    'model-index.yml',
    'pyproject.toml',
    'README.md',
    'requirements',
    'setup.py',
)


def call(*command, cwd, status=0, **environ):
    """Runs a command that must end with `status`; returns its output, both streams in one."""
    process = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert process.returncode == status, process.stdout
    return process.stdout


def copy_sources(target):
    """Copies what the package is built from, so that building leaves nothing in the checkout."""
    ignored = shutil.ignore_patterns('__pycache__', '.mim')
    for name in SOURCES:
        source = ROOT / name
        (shutil.copytree(source, target / name, ignore=ignored) if source.is_dir() else shutil.copy(source, target))
    return target


def build(source, out):
    """Builds an sdist from a source tree and a wheel from that sdist, as an index would serve them."""
    backend = 'import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))'
    call(sys.executable, '-c', backend, out, cwd=source)
    (sdist,) = out.glob('*.tar.gz')
    pip = (sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--no-index')
    call(*pip, '--wheel-dir', out, sdist, cwd=out)
    return next(out.glob('*.whl'))


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The wheel, built by way of the sdist."""
    return build(copy_sources(tmp_path_factory.mktemp('source')), tmp_path_factory.mktemp('built'))


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    """A folder with the wheel installed as a user's pip would: not editable."""
    target = tmp_path_factory.mktemp('installed')
    pip = (sys.executable, '-m', 'pip', 'install', '--no-deps', '--no-index')
    call(*pip, '--target', target, wheel, cwd=target)
    return target


def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
        return Parser().parsestr(archive.read(name).decode())


def test_wheel_holds_what_mim_looks_for(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith('clamp_mmpose/.mim/')}
        files = [path for path in (ROOT / 'configs').rglob('*') if path.is_file() and '__pycache__' not in path.parts]
        expected = {f'clamp_mmpose/.mim/{path.relative_to(ROOT).as_posix()}' for path in files}
        expected |= {f'clamp_mmpose/.mim/{name}' for name in ('model-index.yml', 'tools/train.py', 'tools/test.py')}
        assert held == expected
        for path in files:
            name = f'clamp_mmpose/.mim/{path.relative_to(ROOT).as_posix()}'
            assert archive.read(name) == path.read_bytes()


def test_wheel_holds_every_module_and_no_test(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.endswith('.py') and '/.mim/' not in name}
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'clamp_mmpose').rglob('*.py')}
    assert held == {name for name in package if '/.mim/' not in name} | {'clamp_mmpose_cli.py'}


def test_bare_config_names_are_unique():
    """mim takes the first file of a name; those of _base_ are for other configs, which name their folder."""
    names = [path.name for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts]
    assert len(names) > 50 and sorted(names) == sorted(set(names))


def test_installing_names_neither_torch_nor_openmmlab(wheel):
    required = [line for line in metadata(wheel).get_all('Requires-Dist') if 'extra ==' not in line]
    names = {re.match(r'[\w-]+', line).group() for line in required}
    assert not names & {'torch', 'torchvision', 'mmcv', 'mmdet', 'mmengine', 'mmpose', 'opencv-python', 'transformers'}


def test_extras_bring_openmmlab_and_transformers(wheel):
    extras = {}
    for line in metadata(wheel).get_all('Requires-Dist'):
        requirement, _, marker = line.partition(';')
        if 'extra ==' in marker:
            extra = re.search(r'extra == ["\'](\w+)', marker).group(1)
            extras.setdefault(extra, set()).add(re.match(r'[\w-]+', requirement).group())
    assert extras['mim'] == {'mmcv', 'mmdet', 'mmengine', 'mmpose'}
    assert extras['blip'] == {'transformers'}
    assert extras['export'] == {'onnx', 'onnxruntime'} <= extras['tests']
    assert extras['all'] == extras['mim'] | extras['blip'] | extras['tests']


def imported_modules():
    """The top-level names of everything the package imports, conditional imports included."""
    names = set()
    for path in (ROOT / 'clamp_mmpose').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.partition('.')[0])
    return names


def requirement_names(lines):
    """The normalised distribution names of requirement lines, extras and comments left out."""
    lines = [line for line in lines if re.match(r'\w', line) and 'extra ==' not in line]
    return {re.match(r'[\w-]+', line).group().lower().replace('_', '-') for line in lines}


def test_every_import_comes_with_a_declared_requirement():
    files = [ROOT / 'requirements' / f'{name}.txt' for name in ('runtime', 'mminstall', 'blip', 'export')]
    declared = requirement_names(line for path in files for line in path.read_text().splitlines())
    provided = declared.union(*(requirement_names(importlib.metadata.requires(name) or []) for name in declared))
    owners = importlib.metadata.packages_distributions()
    # pavi is the storage client that MMEngine knows too; nobody can install it from an index.
    foreign = imported_modules() - set(sys.stdlib_module_names) - {'clamp_mmpose', 'pavi'}
    undeclared = {module for module in foreign if not provided & requirement_names(owners.get(module, []))}
    assert not undeclared


@pytest.mark.slow
def test_installed_command_and_doctor_start(installed):
    command = installed / 'bin' / 'clamp-mmpose'
    assert 'doctor' in call(command, '--help', cwd=installed, PYTHONPATH=str(installed))
    assert 'All of it works together.' in call(command, 'doctor', cwd=installed, PYTHONPATH=str(installed))


@pytest.mark.slow
def test_mim_finds_the_models_of_the_installed_package(installed):
    output = call(sys.executable, '-m', 'mim', 'search', 'clamp_mmpose', cwd=installed, PYTHONPATH=str(installed))
    assert 'configs/clamp/clamp_rn50_4xb32-210e_ap10k-256x256.py' in output.replace('\n', '')


@pytest.mark.slow
def test_the_installed_package_knows_the_rows_of_its_papers(installed):
    command = (installed / 'bin' / 'clamp-mmpose', 'reproduce', 'clamp', '--list', '--table', '3')
    output = call(*command, cwd=installed, PYTHONPATH=str(installed), PYTHONWARNINGS='ignore')
    assert 'Table 3, CLAMP, Bovidae to Canidae: paper AP 46.9' in output
    assert 'missing  data/ap10k/annotations/ap10k-train-split1.json' in output


@pytest.mark.slow
@pytest.mark.parametrize('script', ['train', 'test'])
def test_mim_starts_the_scripts_of_mmpose_for_a_bare_config_name(installed, script):
    config = 'clamp_rn50_4xb32-210e_ap10k-256x256.py'
    checkpoint = ('--checkpoint', 'none.pth') if script == 'test' else ()
    command = (sys.executable, '-m', 'mim', script, 'clamp_mmpose', config, *checkpoint, '--no-such-option')
    output = call(*command, cwd=installed, status=1, PYTHONPATH=str(installed))
    assert str(installed / 'clamp_mmpose' / '.mim' / 'configs' / 'clamp' / config) in output
    assert f'{script}.py: error: unrecognized arguments: --no-such-option' in output
