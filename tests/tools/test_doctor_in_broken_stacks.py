"""`clamp-mmpose doctor` in a real process, on a stack of stub packages that come before the installed ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

VERSIONS = {
    'setuptools': '80.10.2',
    'numpy': '2.3.5',
    'torch': '2.11.0',
    'torchvision': '0.26.0',
    'mmengine': '0.10.7',
    'mmcv': '2.1.0',
    'mmdet': '3.3.0',
    'mmpose': '1.3.2',
    'openmim': '0.3.7',
    'xtcocotools': '1.14.3',
    'open_clip_torch': '3.3.0',
}
WORKING = {
    'pkg_resources': '',
    'numpy': '',
    'torch': (
        '__version__ = "2.11.0"\n'
        'class version: cuda = None\n'
        'class cuda: is_available = staticmethod(lambda: False)\n'
    ),
    'torchvision': '',
    'cv2': '',
    'xtcocotools.mask': '',
    'pycocotools.mask': '',
    'mim.cli': '',
    'open_clip': '',
    'transformers': 'PreTrainedModel = None',
    'mmengine.runner': '',
    'mmcv': '',
    'mmcv.ops': 'get_compiling_cuda_version = lambda: "not available"',
    'mmdet': '',
    'mmpose.models': '',
    'clamp_mmpose': '',
}


def run_doctor(folder, *, modules=None, versions=None):
    """Runs `clamp-mmpose doctor --json` on stubs. Returns (exit status, what it printed)."""
    for name, source in {**WORKING, **(modules or {})}.items():
        package, _, submodule = name.partition('.')
        path = folder / package / (submodule or '__init__')
        path.parent.mkdir(exist_ok=True)
        (path.parent / '__init__.py').touch()
        path.with_suffix('.py').write_text(source)
    stack = {**VERSIONS, **(versions or {})}
    for name, version in stack.items():
        metadata = folder / f'{name.replace("-", "_")}-{version}.dist-info' / 'METADATA'
        metadata.parent.mkdir()
        metadata.write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
    process = subprocess.run(
        [sys.executable, str(ROOT / 'clamp_mmpose_cli.py'), 'doctor', '--json'],
        env={**os.environ, 'PYTHONPATH': str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 'Traceback' not in process.stderr, process.stderr
    answer = json.loads(process.stdout)
    return process.returncode, answer


def test_stubs_that_work_are_found_to_work(tmp_path):
    status, answer = run_doctor(tmp_path)
    assert (status, answer['findings']) == (0, [])
    assert answer['versions'].items() >= VERSIONS.items()


@pytest.mark.parametrize(
    ('modules', 'versions', 'title'),
    [
        (
            {'torchvision': 'raise RuntimeError("operator torchvision::nms does not exist")'},
            {},
            'torchvision 0.26.0 does not load its operators next to torch 2.11.0',
        ),
        (
            {'pkg_resources': 'raise ModuleNotFoundError("No module named \'pkg_resources\'")'},
            {'setuptools': '82.0.1'},
            'setuptools 82.0.1 has no pkg_resources',
        ),
        (
            {'mmcv.ops': 'raise ModuleNotFoundError("No module named \'mmcv._ext\'")'},
            {},
            'mmcv 2.1.0 was installed without its operators',
        ),
        (
            {'mmcv.ops': 'import os, signal; os.kill(os.getpid(), signal.SIGSEGV)'},
            {},
            'mmcv 2.1.0 was built against another torch than 2.11.0',
        ),
        (
            {'mmdet': 'assert False, "MMCV==2.2.0 is used but incompatible. Please install mmcv>=2.0.0rc4, <2.2.0."'},
            {'mmcv': '2.2.0'},
            'mmcv 2.2.0 is too new for mmdet 3.3.0',
        ),
        (
            {'xtcocotools.mask': 'raise ValueError("numpy.dtype size changed, may indicate binary incompatibility")'},
            {},
            'xtcocotools 1.14.3 was built for another NumPy than 2.3.5',
        ),
        ({'clamp_mmpose': 'raise SystemExit(5)'}, {}, '`import clamp_mmpose` fails'),
    ],
)
def test_doctor_runs_in_a_broken_stack(tmp_path, modules, versions, title):
    status, answer = run_doctor(tmp_path, modules=modules, versions=versions)
    assert status == 1
    assert [finding['title'] for finding in answer['findings']] == [title]
