"""`make setup`: what is done is not done again, what failed is explained and resumed, what changed is made good."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# The real bootstrap.py with steps that take no time: `install` fakes a package, `compile` is told to fail by a file.
DRIVER = """
import sys
sys.path.insert(0, 'requirements')
import bootstrap
from bootstrap import PYTHON, ROOT, VENV, Step, must

bootstrap.PYTHONS = (tuple(map(int, sys.argv[1].split('.'))),) if sys.argv[1:] else (sys.version_info[:2],)
sys.argv = ['bootstrap.py', *sys.argv[2:]]

def make():
    must(sys.executable, '-m', 'venv', '--without-pip', VENV)

def install():
    (next(VENV.glob('lib/python*/site-packages')) / 'numpy-2.4.6.dist-info').mkdir(exist_ok=True)

def compile():
    must(PYTHON, '-c', 'import pathlib; print(pathlib.Path("compiler-says").read_text()); exit(1)')

steps = [Step('venv', make, ()), Step('install', install, ()), Step('compile', lambda: None, (ROOT / 'setup.py',))]
if (ROOT / 'compiler-says').exists():
    steps[2] = steps[2]._replace(action=compile)
bootstrap.STEPS = tuple(steps)
sys.exit(bootstrap.main())
"""


@pytest.fixture
def checkout(tmp_path):
    """A folder, with a space in its name, that holds what bootstrap.py needs of a checkout."""
    root = tmp_path / 'a checkout'
    (root / 'clamp_mmpose').mkdir(parents=True)
    shutil.copytree(ROOT / 'requirements', root / 'requirements', ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('setup.py', 'pyproject.toml', 'clamp_mmpose/version.py'):
        shutil.copy(ROOT / name, root / name)
    return root


def set_up(root, *arguments):
    """Runs the set-up; returns (exit status, what it printed, the steps it started)."""
    process = subprocess.run(
        [sys.executable, '-c', DRIVER, *arguments],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = process.stdout.splitlines()
    return process.returncode, process.stdout, [line.split('] ')[1] for line in lines if line.startswith('[')]


def test_second_run_starts_no_step(checkout):
    status, _, steps = set_up(checkout)
    assert (status, steps) == (0, ['venv', 'install', 'compile'])
    assert set_up(checkout) == (0, '.venv is ready.\n', [])


def test_failing_step_is_explained_and_resumed(checkout):
    (checkout / 'compiler-says').write_text('fatal error: Python.h: No such file or directory')
    status, printed, _ = set_up(checkout)
    assert status == 1
    assert 'The step "compile" failed.' in printed
    assert 'fatal error: Python.h' in printed
    assert "Why: Python's header files are missing." in printed
    assert 'apt-get install python3-dev' in printed
    (checkout / 'compiler-says').unlink()
    assert set_up(checkout)[::2] == (0, ['compile'])


def test_changed_pin_repeats_every_step_and_changed_setup_only_its_own(checkout):
    set_up(checkout)
    with (checkout / 'requirements' / 'constraints.txt').open('a') as constraints:
        constraints.write('something==1.0\n')
    assert set_up(checkout)[2] == ['venv', 'install', 'compile']
    with (checkout / 'setup.py').open('a') as setup:
        setup.write('\n')
    assert set_up(checkout)[2] == ['compile']


def test_package_changed_by_hand_is_put_back(checkout):
    set_up(checkout)
    (folder,) = (checkout / '.venv').glob('lib/python*/site-packages/numpy-2.4.6.dist-info')
    folder.rename(folder.with_name('numpy-1.26.4.dist-info'))
    (checkout / 'compiler-says').touch()
    status, printed, steps = set_up(checkout)
    assert 'Changed in .venv since it was made, now put back: numpy-2.4.6.' in printed
    assert (status, steps) == (1, ['venv', 'install', 'compile'])
    (checkout / 'compiler-says').unlink()
    assert set_up(checkout)[::2] == (0, ['compile'])
    assert set_up(checkout)[2] == []


def test_moved_environment_is_made_anew(checkout):
    set_up(checkout)
    moved = checkout.rename(checkout.with_name('elsewhere'))
    status, printed, steps = set_up(moved)
    assert f'it was made at {checkout / ".venv"}' in printed
    assert (status, steps) == (0, ['venv', 'install', 'compile'])
    assert json.loads((moved / '.venv' / 'setup.json').read_text())['home'] == str(moved / '.venv')


def test_environment_whose_python_is_gone_is_made_anew(checkout):
    set_up(checkout)
    (checkout / '.venv' / 'bin' / 'python').unlink()
    status, printed, steps = set_up(checkout)
    assert 'its Python does not start any more' in printed
    assert (status, steps) == (0, ['venv', 'install', 'compile'])


def test_unfit_python_is_refused_and_the_present_environment_kept(checkout):
    set_up(checkout)
    (checkout / '.venv' / 'bin' / 'python').unlink()
    status, printed, steps = set_up(checkout, '3.1')
    assert (status, steps) == (1, [])
    assert f'This is Python {sys.version_info[0]}.{sys.version_info[1]}; the pinned set needs' in printed
    assert (checkout / '.venv' / 'setup.json').exists()


def test_folder_that_is_not_ours_is_left_alone(checkout):
    (checkout / '.venv').mkdir()
    (checkout / '.venv' / 'notes.txt').write_text('mine')
    status, printed, steps = set_up(checkout)
    assert (status, steps) == (1, [])
    assert 'is in the way' in printed
    assert (checkout / '.venv' / 'notes.txt').exists()


def test_every_distribution_is_pinned_to_one_version():
    lines = (ROOT / 'requirements' / 'constraints.txt').read_text().splitlines()
    pins = [line for line in lines if not line.startswith('#')]
    assert all(pin.count('==') == 1 and '*' not in pin for pin in pins)
    names = [pin.split('==')[0].lower().replace('_', '-') for pin in pins]
    assert len(names) == len(set(names))
