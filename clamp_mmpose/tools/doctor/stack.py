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
CHILD = f"""
import json, sys
sys.path[:] = [path for path in sys.path if path]  # `-c` looks into the working directory, a script does not
for name, code in json.loads(sys.argv[1]).items():
    info = {{}}
    try:
        exec(code, {{'info': info}})
    except BaseException as error:
        info['error'] = ' '.join(f'{{type(error).__name__}}: {{error}}'.split())[:600]
    print({MARK!r} + json.dumps({{name: info}}), flush=True)
"""


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


def try_imports(probes: dict[str, Probe]) -> dict[str, dict]:
    """Tries the probes one after the other in one new Python. Returns {probe: details, or why it fails}.

    Where that Python dies, `error` says so for the probe it died in and for those it did not come to.
    """
    command = [sys.executable, '-W', 'ignore', '-c', CHILD, json.dumps({name: probes[name].code for name in probes})]
    environ = {**os.environ, 'OMP_NUM_THREADS': '1'}
    try:
        process = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return {name: {'error': f'no answer within {TIMEOUT} s'} for name in probes}
    ending = how_it_ended(process.returncode, process.stderr.decode(errors='replace'))
    results = {name: {'error': ending} for name in probes}
    for line in process.stdout.decode(errors='replace').splitlines():
        if line.startswith(MARK):
            results.update(json.loads(line[len(MARK) :]))
    return results


def try_each_import(probes: dict[str, Probe]) -> dict[str, dict]:
    """Like `try_imports`, and what fails is tried again in a Python of its own, untouched by other failures."""
    results = try_imports(probes)
    failing = [{name: probes[name]} for name in probes if 'error' in results[name]]
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for result in pool.map(try_imports, failing):
            results.update(result)
    return {name: {'ok': 'error' not in result, **result} for name, result in results.items()}


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
    imports {probe: ok, error, details}, environ {variable: value}.
    """
    versions = {name: version_of(name) for name in DISTRIBUTIONS + RIVALS}
    versions = {name: version for name, version in versions.items() if version or name in DISTRIBUTIONS}
    probes = {name: probe for name, probe in PROBES.items() if name != 'transformers' or versions[name]}
    return {
        'python': platform.python_version(),
        'executable': sys.executable,
        'pip': pip_command(),
        'versions': versions,
        'torchvision_requires': requirements_of('torchvision'),
        'imports': try_each_import(probes),
        'environ': {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
