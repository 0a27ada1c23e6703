"""What the doctor makes of a stack: each known break is named once, with its mend."""

import copy
from pathlib import Path

import pytest

from clamp_mmpose.tools.doctor import report
from clamp_mmpose.tools.doctor.checks import RANGES, diagnose
from clamp_mmpose.tools.doctor.stack import PROBES

ROOT = Path(__file__).resolve().parents[2]

HEALTHY = {
    'python': '3.11.7',
    'executable': '/somewhere/bin/python',
    'pip': 'python -m pip',
    'versions': {
        'clamp-mmpose': '0.1.0',
        'pip': '26.3',
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
        'pycocotools': '2.0.11',
        'open_clip_torch': '3.3.0',
        'timm': '1.0.31',
        'transformers': '5.23.0',
        'opencv-python': '4.14.0.94',
    },
    'torchvision_requires': ['numpy', 'torch (==2.11.0)', 'pillow'],
    'imports': {name: {'ok': True} for name in PROBES},
    'environ': {},
}
NUMPY_ERROR = 'ValueError: numpy.dtype size changed, may indicate binary incompatibility.'


def stack_with(*, versions=None, errors=None, **changes):
    """A healthy stack, except for some versions, failing imports {probe: error}, and other keys."""
    stack = copy.deepcopy(HEALTHY)
    stack['versions'].update(versions or {})
    for name, error in (errors or {}).items():
        stack['imports'][name] = {'ok': False, 'error': error}
    stack.update(changes)
    return stack


def test_healthy_stack_has_no_findings():
    assert diagnose(HEALTHY) == []
    assert report(HEALTHY, []).endswith('All of it works together.')


@pytest.mark.parametrize(
    ('stack', 'title', 'mend'),
    [
        (
            stack_with(
                versions={'setuptools': '82.0.0'},
                errors={
                    'pkg_resources': "ModuleNotFoundError: No module named 'pkg_resources'",
                    'mim': "ModuleNotFoundError: No module named 'pkg_resources'",
                },
            ),
            'setuptools 82.0.0 has no pkg_resources',
            'install "setuptools>=77,<81"',
        ),
        (
            stack_with(errors={'xtcocotools': NUMPY_ERROR, 'mmpose.models': NUMPY_ERROR}),
            'xtcocotools 1.14.3 was built for another NumPy than 2.3.5',
            '--no-build-isolation --no-cache-dir --force-reinstall --no-deps --no-binary xtcocotools "xtcocotools"',
        ),
        (
            stack_with(
                versions={'torchvision': '0.25.0'},
                errors={'torchvision': 'RuntimeError: operator torchvision::nms does not exist'},
                torchvision_requires=['torch==2.10.0'],
            ),
            'torchvision 0.25.0 was built for torch 2.10.0, and torch is 2.11.0',
            '"torchvision==0.26.*"',
        ),
        (
            stack_with(
                versions={'torch': '2.11.0+cpu'},
                errors={'torchvision': 'RuntimeError: operator torchvision::nms does not exist'},
            ),
            'torchvision 0.26.0 does not load its operators next to torch 2.11.0+cpu',
            '--index-url https://download.pytorch.org/whl/cpu',
        ),
        (
            stack_with(
                versions={'mmcv': None, 'mmcv-lite': '2.1.0'},
                errors={'mmcv.ops': "ModuleNotFoundError: No module named 'mmcv.ops'"},
            ),
            'mmcv-lite is installed instead of mmcv',
            'uninstall -y mmcv mmcv-lite',
        ),
        (
            stack_with(errors={'mmcv.ops': "ModuleNotFoundError: No module named 'mmcv._ext'"}),
            'mmcv 2.1.0 was installed without its operators',
            '--no-cache-dir --force-reinstall --no-deps --no-binary mmcv "mmcv==2.1.0"',
        ),
        (
            stack_with(errors={'mmcv.ops': 'ImportError: mmcv/_ext.so: undefined symbol: _ZN3c106detail'}),
            'mmcv 2.1.0 was built against another torch than 2.11.0',
            '--no-cache-dir --force-reinstall --no-deps --no-binary mmcv "mmcv==2.1.0"',
        ),
        (
            stack_with(errors={'mmcv.ops': 'crash: killed by SIGSEGV'}),
            'mmcv 2.1.0 was built against another torch than 2.11.0',
            '--no-binary mmcv',
        ),
        (
            stack_with(
                versions={'mmcv': '2.2.0'},
                errors={'mmdet': 'AssertionError: MMCV==2.2.0 is used but incompatible.'},
            ),
            'mmcv 2.2.0 is too new for mmdet 3.3.0',
            '"mmcv==2.1.0"',
        ),
        (
            stack_with(
                versions={'torch': '2.5.1', 'torchvision': '0.20.1'},
                torchvision_requires=['torch==2.5.1'],
                errors={'transformers': 'ImportError: PreTrainedModel requires the PyTorch library'},
            ),
            'transformers 5.23.0 needs torch 2.6 or newer, and torch is 2.5.1',
            'install "transformers>=4.40,<5"',
        ),
        (
            stack_with(versions={'torch': '2.3.1', 'transformers': None}),
            'torch 2.3.1 is older than 2.4',
            'install -U torch torchvision',
        ),
        (
            stack_with(versions={'mmpose': '0.29.0'}, errors={'mmpose.models': 'ImportError: mmpose 0.29'}),
            'mmpose 0.29.0 is outside what is supported',
            '--no-build-isolation --no-cache-dir --no-binary xtcocotools "mmpose>=1.3.0,<2.0.0"',
        ),
        (
            stack_with(
                versions={'mmdet': None},
                errors={
                    'mmdet': "ModuleNotFoundError: No module named 'mmdet'",
                    'mmpose.models': "ModuleNotFoundError: No module named 'mmdet'",
                },
            ),
            'mmdet is not installed',
            '"mmdet>=3.0.0,<3.4.0"',
        ),
        (
            stack_with(errors={'cv2': 'ImportError: libGL.so.1: cannot open shared object file'}),
            'opencv misses a library of the operating system',
            'apt-get install -y libgl1',
        ),
        (
            stack_with(errors={'mmengine': "ModuleNotFoundError: No module named 'yaml'"}),
            '`import mmengine` fails',
            'python -m pip install PyYAML',
        ),
        (
            stack_with(
                versions={'xtcocotools': None},
                errors={'xtcocotools': "ModuleNotFoundError: No module named 'xtcocotools'"},
            ),
            '`import xtcocotools` fails',
            '--no-binary xtcocotools "xtcocotools"',
        ),
    ],
)
def test_known_break_is_named_once_with_its_mend(stack, title, mend):
    (finding,) = diagnose(stack)
    assert finding.level == 'broken'
    assert finding.title == title
    assert mend in finding.mend


def test_an_old_transformers_is_a_warning():
    (finding,) = diagnose(stack_with(versions={'transformers': '4.36.2'}))
    assert (finding.level, finding.title) == ('warning', 'transformers 4.36.2 is older than 4.40')
    assert diagnose(stack_with(versions={'transformers': '4.40.0'})) == []


@pytest.mark.parametrize(
    ('stack', 'title', 'mend'),
    [
        (
            stack_with(versions={'opencv-python-headless': '4.11.0'}),
            'opencv-python and opencv-python-headless are installed together',
            'uninstall -y opencv-python opencv-python-headless && python -m pip install opencv-python',
        ),
        (
            stack_with(versions={'openmim': '0.3.9'}),
            'openmim 0.3.9 brings opendatalab and openxlab',
            'install "openmim==0.3.7"',
        ),
        (
            stack_with(versions={'openmim': None}, errors={'mim': "ModuleNotFoundError: No module named 'mim'"}),
            'openmim is not installed',
            'install "openmim==0.3.7"',
        ),
        (
            stack_with(environ={'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD': '1'}),
            'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set',
            'unset TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD',
        ),
        (
            stack_with(versions={'torchvision': '0.25.0'}, torchvision_requires=['torch==2.10.0']),
            'torchvision 0.25.0 was built for torch 2.10.0, and torch is 2.11.0',
            '"torchvision==0.26.*"',
        ),
        (stack_with(versions={'numpy': '2.4.6'}), 'MMPose cannot draw with NumPy 2.4.6', 'install "numpy<2.4"'),
        (stack_with(python='3.13.1'), 'Python 3.13 cannot compile mmcv and xtcocotools', 'use Python 3.11'),
        (stack_with(python='3.14.0'), 'Python 3.14.0 is outside 3.9 to 3.13', 'Python 3.11'),
        (
            stack_with(
                versions={'torch': '2.16.0', 'torchvision': '0.31.0'}, torchvision_requires=['torch==2.16.0']
            ),
            'torch 2.16.0 is newer than 2.15',
            'nothing to do',
        ),
    ],
)
def test_what_may_go_wrong_is_a_warning(stack, title, mend):
    (finding,) = diagnose(stack)
    assert finding.level == 'warning'
    assert finding.title == title
    assert mend in finding.mend


def test_failing_imports_are_put_down_to_the_one_below_them():
    error = 'ImportError: something new'
    above = dict.fromkeys(('mmengine', 'mmcv', 'mmcv.ops', 'mmdet', 'mmpose.models', 'clamp_mmpose'), error)
    assert [finding.title for finding in diagnose(stack_with(errors=above))] == ['`import mmengine` fails']


def test_several_breaks_come_with_the_most_fundamental_first():
    stack = stack_with(
        versions={'setuptools': '82.0.0', 'mmcv': '2.2.0'},
        errors={
            'mmdet': 'AssertionError: MMCV==2.2.0 is used but incompatible.',
            'pkg_resources': "ModuleNotFoundError: No module named 'pkg_resources'",
            'xtcocotools': NUMPY_ERROR,
        },
    )
    titles = [finding.title.split()[0] for finding in diagnose(stack)]
    assert titles == ['setuptools', 'xtcocotools', 'mmcv']
    assert report(stack, diagnose(stack)).endswith(
        '3 broken, 0 to know about. Mend from the top, then run this again.'
    )


def test_ranges_are_those_of_the_requirement_files():
    lines = []
    for name in ('mminstall.txt', 'runtime.txt'):
        lines += (ROOT / 'requirements' / name).read_text().splitlines()
    for name, (low, high) in RANGES.items():
        assert (f'{name}>={low},<{high}' if high else f'{name}>={low}') in lines
