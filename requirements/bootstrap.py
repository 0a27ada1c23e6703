"""Makes `.venv` and installs the pinned set into it. `make setup` runs this with the Python it finds.

Every step is a pip command under requirements/constraints.txt. What is done is written down: a second run returns at
once, an interrupted one goes on where it stopped, and a changed pin, setup.py or package of .venv is made good.
Standard library only, and no syntax newer than Python 3.6, so that an old Python can say that it is too old.
"""

import collections
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from setup_state import LOG, PYTHON, ROOT, VENV, explain, installed, log_size, read_state, venv_python, write_state

DISCARDED = ROOT / '.venv-discarded'
CONSTRAINTS = ROOT / 'requirements' / 'constraints.txt'
# The pinned NumPy starts at 3.11. On 3.13 the setup.py of mmcv and of xtcocotools fail with KeyError '__version__'.
PYTHONS = ((3, 11), (3, 12))
DISK_GB = 8
HEARTBEAT = 30  # seconds between two signs of life from a long step

Step = collections.namedtuple('Step', 'name action inputs')


class SetupError(Exception):
    """Set-up cannot go on. The message is for the user; empty if the log tells."""


def say(text):
    print(text, flush=True)


def environment(command):
    """What a command runs in: our constraints, and none of the caller's Python paths."""
    environ = {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', 'PYTHONHOME')}
    pins = CONSTRAINTS.as_uri()  # a URL, because pip splits its variables at spaces
    environ['PIP_CONSTRAINT'] = pins
    if '--no-build-isolation' not in command:  # pip refuses the two together
        environ['PIP_BUILD_CONSTRAINT'] = pins
    environ.update(PIP_USER='0', PIP_NO_INPUT='1', PIP_DISABLE_PIP_VERSION_CHECK='1', PIP_PROGRESS_BAR='off')
    environ['PATH'] = os.pathsep.join([str(VENV / 'bin'), environ.get('PATH', os.defpath)])
    return environ


def succeeds(*command, **variables):
    """Runs a command, its output going to the log; True if it exits with 0."""
    environ = environment(command)
    environ.update(variables)
    with open(str(LOG), 'ab') as log:
        log.write('\n$ {}\n'.format(' '.join(map(str, command))).encode())
        log.flush()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=str(ROOT),
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        started = time.time()
        while True:
            try:
                return process.wait(timeout=HEARTBEAT) == 0
            except subprocess.TimeoutExpired:
                say(f'      ... {time.time() - started:.0f} s')
            except BaseException:
                process.terminate()
                raise


def must(*command, **variables):
    if not succeeds(*command, **variables):
        raise SetupError


def pip(*arguments):
    return (PYTHON, '-m', 'pip', *arguments)


def make_venv():
    if venv_python() is None:
        # Not sys.executable: that may be a Python in the .venv that was just removed.
        must(getattr(sys, '_base_executable', sys.executable), '-m', 'venv', VENV)
    elif not succeeds(*pip('--version')):
        must(PYTHON, '-m', 'ensurepip')  # interrupted half-way


def install_mmcv():
    """Takes a wheel if pip is offered one whose operators load next to this torch, else compiles."""
    wheel = pip('install', '--no-cache-dir', '--only-binary', 'mmcv', 'mmcv')
    if succeeds(*wheel) and succeeds(PYTHON, '-c', 'import mmcv.ops'):
        return
    succeeds(*pip('uninstall', '-y', 'mmcv'))
    memory_gb = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9
    jobs = os.environ.get('MAX_JOBS') or str(max(1, min(os.cpu_count() or 1, int(memory_gb / 2))))
    say(f'      No ready-made mmcv fits: compiling it, {jobs} at a time, takes 7 to 12 minutes on two cores.')
    variables = {'MAX_JOBS': jobs, 'MMCV_WITH_OPS': '1'}
    if os.environ.get('FORCE_CUDA') != '1':
        # Where mmcv sees a GPU it wants an nvcc as new as torch's CUDA. No model here uses its CUDA operators.
        variables['CUDA_VISIBLE_DEVICES'] = ''
    source = ('install', '--no-cache-dir', '--no-build-isolation', '--no-binary', 'mmcv', 'mmcv')
    must(*pip(*source), **variables)


def verify():
    must(*pip('check'))
    must(VENV / 'bin' / 'clamp-mmpose', 'doctor')


def installs(name, *arguments, files=()):
    """A step that is one `pip install`."""
    return Step(name, lambda: must(*pip('install', *arguments)), (*arguments, *files))


LISTS = [ROOT / 'requirements' / (name + '.txt') for name in ('runtime', 'mminstall', 'blip', 'export', 'tests')]
PACKAGE_FILES = (ROOT / 'setup.py', ROOT / 'pyproject.toml', ROOT / 'clamp_mmpose' / 'version.py')
BUILD_TOOLS = ('pip', 'setuptools', 'wheel', 'cython', 'numpy', 'packaging', 'ninja', 'psutil')
STEPS = (
    Step('a virtual environment', make_venv, ()),
    installs('pip and the tools that build packages', '--upgrade', *BUILD_TOOLS),
    installs('PyTorch: about 2 GB to download', 'torch', 'torchvision'),
    # The ready-made one is built for NumPy 1.
    installs('xtcocotools, from source', '--no-build-isolation', '--no-binary', 'xtcocotools', 'xtcocotools'),
    installs('chumpy, from source', '--no-build-isolation', 'chumpy'),
    Step('mmcv', install_mmcv, ()),
    installs('MMPose and the rest', 'openmim', *(f'-r{path.relative_to(ROOT)}' for path in LISTS), files=LISTS),
    installs('this package, editable', '--no-build-isolation', '--no-deps', '-e', '.', files=PACKAGE_FILES),
    Step('a look whether all of it works together', verify, ()),
)


def step_keys():
    """{step: key}. A key changes with the pins, the step, the files it reads, and the steps before it."""
    digest = hashlib.sha256(CONSTRAINTS.read_bytes())
    keys = {}
    for step in STEPS:
        for part in (step.name, *step.inputs):
            digest.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        keys[step.name] = digest.hexdigest()[:16]
    return keys


def reason_to_rebuild(state, *, this_python):
    """Why the present .venv cannot be used; None if it can, or if there is none."""
    if not VENV.exists():
        return None
    version = venv_python()
    reason = None
    if state.get('home', str(VENV)) != str(VENV):
        reason = f'it was made at {state["home"]}, and its scripts still point there'
    elif version is None and state.get('done'):
        reason = 'its Python does not start any more'
    elif this_python and version not in (None, sys.version_info[:2]):
        reason = 'it has Python {}.{}, and you ask for {}.{}'.format(*version, *sys.version_info[:2])
    elif not state and version is None and any(VENV.iterdir()):
        raise SetupError(f'{VENV} is in the way: it holds no Python that starts. Remove it, then run this again.')
    return reason


def check_machine():
    """Finds what would fail minutes later: an unfit Python, no compiler."""
    version = sys.version_info[:2]
    if version not in PYTHONS:
        found = [name for name in map('python{}.{}'.format, *zip(*PYTHONS)) if shutil.which(name)]
        cure = f'make PYTHON={found[0]} setup' if found else 'install Python 3.11, then make PYTHON=python3.11 setup'
        raise SetupError(
            'This is Python {}.{}; the pinned set needs 3.11 or 3.12.\n'
            'What to do: {}'.format(*version, cure)
        )
    missing = []
    compilers = [os.environ.get('CC') or 'cc', os.environ.get('CXX') or 'c++']
    if not all(shutil.which(shlex.split(command)[0]) for command in compilers):
        missing.append(('a C and C++ compiler', 'build-essential'))
    if not Path(sysconfig.get_paths()['include'], 'Python.h').exists():
        missing.append(("Python's header files", 'python3-dev'))
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        missing.append(("Python's venv module", 'python3-venv'))
    if missing:
        raise SetupError(
            'Missing: {}.\nWhat to do: on Debian and Ubuntu, apt-get install {}'.format(
                ', '.join(what for what, _ in missing), ' '.join(package for _, package in missing)
            )
        )


def check_disk():
    free_gb = shutil.disk_usage(str(ROOT)).free / 1e9
    if free_gb < DISK_GB:
        raise SetupError(f'{free_gb:.1f} GB are free at {ROOT}; the environment takes up to {DISK_GB} GB.')


def set_up(*, this_python):
    state = read_state()
    reason = reason_to_rebuild(state, this_python=this_python)
    if reason or venv_python() is None:
        check_machine()
    if reason:
        say(f'Making .venv anew: {reason}.')
        os.replace(str(VENV), str(DISCARDED))
        state = {}
    if DISCARDED.exists():
        shutil.rmtree(str(DISCARDED))
    keys, done = step_keys(), state.setdefault('done', {})
    pending = [step for step in STEPS if done.get(step.name) != keys[step.name]]
    lost = sorted(set(state.get('installed', [])).difference(installed()))
    if not pending and not lost:
        say('.venv is ready.')
        return
    if lost:
        say(f'Changed in .venv since it was made, now put back: {", ".join(lost)}.')
        done.clear()
        pending = list(STEPS)
    if venv_python() is None:
        check_disk()
    state['home'] = str(VENV)
    write_state(state)
    for step in pending:
        say(f'[{STEPS.index(step) + 1}/{len(STEPS)}] {step.name}')
        started, offset = time.time(), log_size()
        try:
            step.action()
        except SetupError:
            raise SetupError(f'The step "{step.name}" failed.\n{explain(offset)}') from None
        done[step.name] = keys[step.name]
        write_state(state)
        say(f'      {time.time() - started:.0f} s')
    state['installed'] = installed()
    write_state(state)
    say('.venv is ready.')


def main():
    try:
        set_up(this_python='--this-python' in sys.argv[1:])
    except SetupError as error:
        say(f'\nSet-up stopped. {error}')
        return 1
    except KeyboardInterrupt:
        say('\nInterrupted. The same command goes on from this step.')
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
