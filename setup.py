"""Packages clamp_mmpose the way mim expects an OpenMMLab package.

mim finds configs, scripts and the model index of an installed package in `<package>/.mim`, as real files, so the
wheel holds them there; in the checkout they stay at the top level.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_SCRIPTS = ('train.py', 'test.py')


class BuildPyWithMim(build_py):
    """Adds `.mim/{configs,tools,model-index.yml}` to the built package. An editable install has none."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib, 'clamp_mmpose')
        mim = package / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        (mim / 'tools').mkdir(parents=True)
        shutil.copytree(ROOT / 'configs', mim / 'configs', ignore=shutil.ignore_patterns('__pycache__'))
        shutil.copy(ROOT / 'model-index.yml', mim)
        for name in MIM_SCRIPTS:
            shutil.copy(ROOT / 'clamp_mmpose' / 'tools' / 'mim_script.py', mim / 'tools' / name)


def read_version():
    """The version, read from the source without importing the package."""
    source = (ROOT / 'clamp_mmpose' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '([^']+)'", source, re.MULTILINE).group(1)


def read_requirements(name):
    """The requirement lines of requirements/<name>.txt."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


extras = {
    'mim': read_requirements('mminstall'),
    'blip': read_requirements('blip'),
    'export': read_requirements('export'),
    'tests': read_requirements('tests') + read_requirements('export'),
}
extras['all'] = sorted({requirement for group in extras.values() for requirement in group})

setup(
    name='clamp-mmpose',
    version=read_version(),
    description='Language and adaptation for 2D pose estimation: a plugin for MMPose',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    keywords='pose estimation, CLIP, prompt learning, MMPose, animal pose',
    classifiers=[
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    packages=find_packages(include=['clamp_mmpose', 'clamp_mmpose.*']),
    py_modules=['clamp_mmpose_cli'],
    python_requires='>=3.9',
    install_requires=read_requirements('runtime'),
    extras_require=extras,
    entry_points={'console_scripts': ['clamp-mmpose = clamp_mmpose_cli:main']},
    cmdclass={'build_py': BuildPyWithMim},
    zip_safe=False,
)
