"""Looks at the running Python: versions from the metadata, and whether the risky imports work."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import NamedTuple

DISTRIBUTIONS = [
    'clamp-mmpose',
    'pip',
    'setuptools',
    'numpy',
    'torch',
    'torchvision',
    'mmengine',
    'mmcv',
    'mmdet',
    'mmpose',
    'openmim',
    'xtcocotools',
    'pycocotools',
    'open_clip_torch',
    'timm',
    'transformers',
    'opencv-python',
]
# These get in the way of one of the above; listed where present.
RIVALS = ['mmcv-lite', 'mmcv-full', 'opencv-python-headless', 'opencv-contrib-python']
VARIABLES = ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD']

TIMEOUT = 300  # seconds; a first import from a cold disk can take tens of seconds
MARK = 'clamp-mmpose doctor: '


class Probe(NamedTuple):
    """An import to try. `needs`: the probes it builds on; `code` may put details into the dict `info`."""

    code: str
    needs: tuple = ()
    optional: bool = False


PROBES = {
    'pkg_resources': Probe('import pkg_resources'),
    'numpy': Probe('import numpy'),
    'torch': Probe(
        'import torch; '
        'info.update(version=torch.__version__, cuda=torch.version.cuda, gpu=torch.cuda.is_available())'
    ),
    'torchvision': Probe('import torchvision', ('torch',)),
    'cv2': Probe('import cv2', ('numpy',)),
    'xtcocotools': Probe('import xtcocotools.mask', ('numpy',)),
    'pycocotools': Probe('import pycocotools.mask', ('numpy',)),
    'mim': Probe('import mim.cli', ('pkg_resources',), optional=True),
    'open_clip': Probe('import open_clip', ('torch', 'torchvision')),
    'transformers': Probe('from transformers import PreTrainedModel', ('torch',), optional=True),
    'mmengine': Probe('import mmengine.runner', ('torch', 'cv2')),
    'mmcv': Probe('import mmcv', ('mmengine',)),
    'mmcv.ops': Probe('import mmcv.ops; info.update(cuda=mmcv.ops.get_compiling_cuda_version())', ('mmcv',)),
    'mmdet': Probe('import mmdet', ('mmcv',)),
    'mmpose.models': Probe(
        'import mmpose.models', ('mmcv.ops', 'mmdet', 'torchvision', 'xtcocotools', 'pycocotools')
    ),
    'clamp_mmpose': Probe('import clamp_mmpose', ('mmpose.models', 'open_clip')),
}


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution; None where it is absent or its metadata is unreadable."""
    try:
        return metadata.version(distribution)
    except Exception:
        return None


def requirements_of(distribution: str) -> list[str]:
    """The requirement strings of an installed distribution; empty where it is absent."""
    try:
        return metadata.requires(distribution) or []
    except Exception:
        return []


def try_import(probe: Probe) -> dict:
    """Runs one probe in a Python of its own, so that a crash is a result: ok, seconds, error and details."""
    code = f"""
import json, sys
sys.path[:] = [path for path in sys.path if path]  # `-c` looks into the working directory, a script does not
info = {{}}
try:
    {probe.code}
except BaseException as error:
    info['error'] = ' '.join(f'{{type(error).__name__}}: {{error}}'.split())[:600]
print({MARK!r} + json.dumps(info), flush=True)
"""
    command = [sys.executable, '-W', 'ignore', '-c', code]
    environ = {**os.environ, 'OMP_NUM_THREADS': '1'}
    started = time.monotonic()
    try:
        process = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return {'ok': False, 'seconds': TIMEOUT, 'error': f'no answer within {TIMEOUT} s'}
    result = {'ok': True, 'seconds': round(time.monotonic() - started, 1)}
    answers = [line for line in process.stdout.decode(errors='replace').splitlines() if line.startswith(MARK)]
    if answers:
        result.update(json.loads(answers[-1][len(MARK) :]))
    else:
        result['error'] = how_it_ended(process.returncode, process.stderr.decode(errors='replace'))
    result['ok'] = 'error' not in result
    return result


def how_it_ended(status: int, stderr: str) -> str:
    """Words for a Python that died without an answer."""
    if status < 0:
        return f'crash: killed by {signal.Signals(-status).name}'
    lines = stderr.strip().splitlines()
    return f'exit status {status}' + (f': {lines[-1]}' if lines else '')


def pip_command() -> str:
    """How to call the pip of this very Python: `python -m pip` if `python` is that one, else by its path."""
    python = shutil.which('python')
    is_this_one = python and os.path.dirname(os.path.abspath(python)) == os.path.dirname(sys.executable)
    return ('python' if is_this_one else shlex.quote(sys.executable)) + ' -m pip'


def examine() -> dict:
    """Everything the checks look at, as plain data.

    Keys: python, executable, pip (the command), versions {distribution: version or None}, torchvision_requires,
    imports {probe: what `try_import` returns}, environ {variable: value}.
    """
    versions = {name: version_of(name) for name in DISTRIBUTIONS + RIVALS}
    versions = {name: version for name, version in versions.items() if version or name in DISTRIBUTIONS}
    probes = {name: probe for name, probe in PROBES.items() if name != 'transformers' or versions[name]}
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        imports = dict(zip(probes, pool.map(try_import, probes.values())))
    return {
        'python': platform.python_version(),
        'executable': sys.executable,
        'pip': pip_command(),
        'versions': versions,
        'torchvision_requires': requirements_of('torchvision'),
        'imports': imports,
        'environ': {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
