"""The combinations known to break, as pure functions from what `stack.examine` saw to findings.

The most fundamental come first, so that mending from the top down works.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .finding import BROKEN, WARNING, Finding, error_of, from_source, install_mmcv, install_openmmlab, release
from .stack import PROBES

# The same ranges as in requirements/mminstall.txt and runtime.txt: from, up to but not including.
RANGES = {
    'mmengine': ('0.10.4', '1.0.0'),
    'mmcv': ('2.0.1', '2.2.0'),
    'mmdet': ('3.0.0', '3.4.0'),
    'mmpose': ('1.3.0', '2.0.0'),
    'open_clip_torch': ('2.32', None),
}
# Where the name of the module that is imported is not the name of what is installed.
PROBE_OF = {'open_clip_torch': 'open_clip', 'mmpose': 'mmpose.models'}
DISTRIBUTION_OF = {'PIL': 'pillow', 'cv2': 'opencv-python', 'mim': 'openmim', 'yaml': 'PyYAML'}
OLD_NUMPY_BUILD = re.compile(
    r'numpy\.dtype size changed|numpy\.core\.multiarray failed|compiled using NumPy 1|_ARRAY_API not found'
)
WRONG_TORCH_BUILD = re.compile(r'undefined symbol|cannot open shared object|crash: killed')


def check_python(stack: dict) -> Iterator[Finding]:
    version = release(stack['python'])[:2]
    if version == (3, 13):
        yield Finding(
            WARNING,
            'Python 3.13 cannot compile mmcv and xtcocotools',
            "Their setup.py fails with KeyError: '__version__', so it takes wheels from elsewhere.",
            'use Python 3.11 (the tested one) or 3.12 if one of them is missing',
        )
    elif not (3, 9) <= version <= (3, 12):
        yield Finding(
            WARNING,
            f'Python {stack["python"]} is outside 3.9 to 3.13',
            'Nothing else was tried.',
            'make a new environment with Python 3.11, the tested one',
        )


def check_setuptools(stack: dict) -> Iterator[Finding]:
    if error_of(stack, 'pkg_resources'):
        version = stack['versions']['setuptools']
        yield Finding(
            BROKEN,
            f'setuptools {version} has no pkg_resources' if version else 'setuptools is not installed',
            "mim does not start, `_base_ = 'mmpose::...'` fails and mmcv does not build: all import pkg_resources, "
            'which setuptools 82 dropped.',
            f'{stack["pip"]} install "setuptools>=77,<81"',
            ('pkg_resources', 'mim'),
        )


def check_torch(stack: dict) -> Iterator[Finding]:
    torch = stack['versions']['torch']
    if torch is None:
        mend = f'{stack["pip"]} install torch torchvision'
        yield Finding(BROKEN, 'PyTorch is not installed', 'Everything runs on it.', mend, ('torch', 'torchvision'))
    elif release(torch) < (2, 4):
        yield Finding(
            BROKEN,
            f'torch {torch} is older than 2.4',
            'Checkpoints cannot be loaded safely: naming what a file may contain came with 2.4.',
            f'{stack["pip"]} install -U torch torchvision && {install_mmcv(stack["pip"])}',
        )
    elif release(torch)[:2] > (2, 15):
        yield Finding(
            WARNING,
            f'torch {torch} is newer than 2.15',
            'Nothing above 2.15 was looked at.',
            'nothing to do unless something fails',
        )


def check_torchvision(stack: dict) -> Iterator[Finding]:
    torch, torchvision = stack['versions']['torch'], stack['versions']['torchvision']
    if torch is None or release(torch) < (2, 4):
        return
    error = error_of(stack, 'torchvision')
    # torchvision 0.19 came with torch 2.4, and both have counted on together since.
    index = ' --index-url https://download.pytorch.org/whl/cpu' if torch.endswith('+cpu') else ''
    mend = (
        f'{stack["pip"]} install --force-reinstall --no-deps "torchvision==0.{release(torch)[1] + 15}.*"{index}'
    )
    pins = re.findall(r'^torch *\(?== *([\d.]+)', '\n'.join(stack['torchvision_requires']), re.MULTILINE)
    built_for = pins[0] if pins else torch
    if torchvision is None:
        title, why = 'torchvision is not installed', 'MMPose and open_clip import it.'
        yield Finding(BROKEN, title, why, mend, ('torchvision',))
    elif release(built_for)[:2] != release(torch)[:2]:
        yield Finding(
            BROKEN if error else WARNING,
            f'torchvision {torchvision} was built for torch {built_for}, and torch is {torch}',
            f'Its operators do not load: {error}' if error else 'It imports, but its operators may crash.',
            mend,
            ('torchvision',),
        )
    elif 'torchvision::' in error:
        yield Finding(
            BROKEN,
            f'torchvision {torchvision} does not load its operators next to torch {torch}',
            f'One of them is a CPU-only build and the other is not: {error}',
            mend,
            ('torchvision',),
        )


def check_opencv(stack: dict) -> Iterator[Finding]:
    installed = [name for name, version in stack['versions'].items() if name.startswith('opencv') and version]
    if len(installed) > 1:
        yield Finding(
            WARNING,
            f'{" and ".join(installed)} are installed together',
            'Each owns the folder cv2, and the one installed last has overwritten the others.',
            f'{stack["pip"]} uninstall -y {" ".join(installed)} && {stack["pip"]} install {installed[0]}',
        )
    error = error_of(stack, 'cv2')
    if 'cannot open shared object' in error:
        mend = 'apt-get install -y libgl1 libglib2.0-0'
        yield Finding(BROKEN, 'opencv misses a library of the operating system', error, mend, ('cv2',))


def check_numpy(stack: dict) -> Iterator[Finding]:
    versions, pip = stack['versions'], stack['pip']
    upgrade = f'{pip} install --upgrade --force-reinstall --no-deps --no-cache-dir'
    mends = {
        'cv2': ('opencv-python', f'{upgrade} "opencv-python>=4.10"'),
        'pycocotools': ('pycocotools', f'{upgrade} pycocotools'),
        'xtcocotools': ('xtcocotools', from_source(pip, 'xtcocotools')),
    }
    for name, (distribution, mend) in mends.items():
        if OLD_NUMPY_BUILD.search(error_of(stack, name)):
            yield Finding(
                BROKEN,
                f'{distribution} {versions[distribution]} was built for another NumPy than {versions["numpy"]}',
                f'`import {name}` fails: {error_of(stack, name)}',
                mend,
                (name,),
            )
    if versions['numpy'] and release(versions['numpy']) >= (2, 4):
        yield Finding(
            WARNING,
            f'MMPose cannot draw with NumPy {versions["numpy"]}',
            'MMPoseInferencer and `--show-dir` call int() on an array with one element, which NumPy 2.4 refuses.',
            f'{pip} install "numpy<2.4"',
        )


def check_mmcv(stack: dict) -> Iterator[Finding]:
    versions, error = stack['versions'], error_of(stack, 'mmcv.ops')
    mend = install_mmcv(stack['pip'])
    rivals = ' '.join(name for name in ('mmcv-lite', 'mmcv-full') if versions.get(name))
    if rivals:
        yield Finding(
            BROKEN,
            f'{rivals} is installed {"beside" if versions["mmcv"] else "instead of"} mmcv',
            '`mmpose.models` imports mmcv.ops. mmcv-lite has none; mmcv-full is mmcv 1 under the same module name.',
            f'{stack["pip"]} uninstall -y mmcv {rivals} && {mend}',
            ('mmcv', 'mmcv.ops', 'mmdet'),
        )
    elif versions['mmcv'] is None:
        yield Finding(BROKEN, 'mmcv is not installed', 'MMPose is built on it.', mend, ('mmcv', 'mmcv.ops'))
    elif release(versions['mmcv']) >= release(RANGES['mmcv'][1]):
        yield Finding(
            BROKEN,
            f'mmcv {versions["mmcv"]} is too new for mmdet {versions["mmdet"]}',
            f'mmdet refuses 2.2.0 and above, and `mmpose.models` imports mmdet. {error_of(stack, "mmdet")}',
            mend,
            ('mmcv.ops', 'mmdet'),
        )
    elif 'mmcv._ext' in error:
        yield Finding(
            BROKEN,
            f'mmcv {versions["mmcv"]} was installed without its operators',
            f'`mmpose.models` imports mmcv.ops: {error}. pip builds mmcv so when it builds in isolation, where there '
            'is no torch.',
            mend,
            ('mmcv.ops',),
        )
    elif WRONG_TORCH_BUILD.search(error):
        yield Finding(
            BROKEN,
            f'mmcv {versions["mmcv"]} was built against another torch than {versions["torch"]}',
            f'Its operators do not load: {error}. pip reuses a cached mmcv wheel whatever torch is installed.',
            mend,
            ('mmcv.ops',),
        )


def check_ranges(stack: dict) -> Iterator[Finding]:
    for name, (low, high) in RANGES.items():
        version = stack['versions'][name]
        too_new = version is not None and high is not None and release(version) >= release(high)
        if name == 'mmcv' and (version is None or too_new):
            continue  # check_mmcv knows more about these two
        if version is not None and release(version) >= release(low) and not too_new:
            continue
        supported = f'{name}>={low},<{high}' if high else f'{name}>={low}'
        yield Finding(
            BROKEN,
            f'{name} is not installed' if version is None else f'{name} {version} is outside what is supported',
            f'This package needs {supported}.',
            install_mmcv(stack['pip']) if name == 'mmcv' else install_openmmlab(stack['pip'], supported),
            (PROBE_OF.get(name, name),),
        )


def check_mim(stack: dict) -> Iterator[Finding]:
    version = stack['versions']['openmim']
    if version is None:
        why = 'The configs are run with `mim train` and `mim test`.'
        mend = f'{stack["pip"]} install "openmim==0.3.7"'
        yield Finding(WARNING, 'openmim is not installed', why, mend, ('mim',))
    elif release(version) >= (0, 3, 9):
        yield Finding(
            WARNING,
            f'openmim {version} brings opendatalab and openxlab',
            'Those pin setuptools 60, requests 2.28 and rich 13.4 for the whole environment.',
            f'{stack["pip"]} uninstall -y opendatalab openxlab && {stack["pip"]} install "openmim==0.3.7"',
        )


def check_transformers(stack: dict) -> Iterator[Finding]:
    torch, transformers = stack['versions']['torch'], stack['versions']['transformers']
    if torch and transformers and release(transformers) >= (5,) and release(torch) < (2, 6):
        yield Finding(
            BROKEN,
            f'transformers {transformers} needs torch 2.6 or newer, and torch is {torch}',
            'It then goes without PyTorch, and every method with a language model from it fails.',
            f'{stack["pip"]} install "transformers>=4.40,<5"',
            ('transformers',),
        )
    elif transformers and release(transformers) < (4, 40):
        title = f'transformers {transformers} is older than 4.40'
        why = 'BLIPCaptionPoseEstimator was not tried with it.'
        yield Finding(WARNING, title, why, f'{stack["pip"]} install -U "transformers>=4.40"')


def check_environment(stack: dict) -> Iterator[Finding]:
    if stack['environ'].get('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'):
        yield Finding(
            WARNING,
            'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set',
            'Loading a checkpoint then runs whatever code the file asks for. Nothing here needs it.',
            'unset TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD',
        )


CHECKS = (
    check_python,
    check_setuptools,
    check_torch,
    check_torchvision,
    check_opencv,
    check_numpy,
    check_mmcv,
    check_ranges,
    check_mim,
    check_transformers,
    check_environment,
)


def builds_on(name: str) -> set:
    """All probes that a probe builds on, directly or not."""
    needs = PROBES[name].needs
    return set(needs).union(*map(builds_on, needs))


def unexplained(stack: dict, findings: list[Finding]) -> Iterator[Finding]:
    """The failing imports that no finding accounts for and that build on nothing that fails."""
    explained = {name for finding in findings for name in finding.explains}
    failing = {name for name, result in stack['imports'].items() if not result['ok']}
    for name in stack['imports']:
        if name not in failing - explained or builds_on(name) & failing:
            continue
        error = error_of(stack, name)
        missing = re.search(r"ModuleNotFoundError: No module named '(\w+)", error)
        if missing is None:
            mend = 'no command is known; `make setup` in a checkout builds an environment that works'
        elif missing.group(1) == 'xtcocotools':
            mend = from_source(stack['pip'], 'xtcocotools')
        else:
            mend = f'{stack["pip"]} install {DISTRIBUTION_OF.get(missing.group(1), missing.group(1))}'
        yield Finding(WARNING if PROBES[name].optional else BROKEN, f'`import {name}` fails', error, mend)


def diagnose(stack: dict) -> list[Finding]:
    """All findings, the most fundamental first."""
    findings = [finding for check in CHECKS for finding in check(stack)]
    return findings + list(unexplained(stack, findings))
