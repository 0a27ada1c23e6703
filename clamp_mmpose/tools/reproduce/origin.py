"""Where a number comes from: the commit of the code, and the device."""

from __future__ import annotations

import functools
import subprocess

from ..cli import read_constant
from ..commands import PACKAGE
from ..processor import describe_processor


def code_version() -> str:
    """The commit of the checkout this runs from, with '-dirty' where files differ; else the package's version."""
    version = read_constant(PACKAGE / 'version.py', '__version__')
    if not (PACKAGE.parent / '.git').exists():  # an installed package may lie in another project's checkout
        return version
    try:
        commit = _git('rev-parse', '--short', 'HEAD')
        return f'{commit}-dirty' if _git('status', '--porcelain', '--untracked-files=no') else commit
    except (OSError, subprocess.CalledProcessError):
        return version


@functools.cache
def describe_device(gpus: int | None) -> str:
    """The GPUs in use, or the processor."""
    import torch
    if torch.cuda.is_available():
        return f'{gpus or 1} x {torch.cuda.get_device_name()}'
    return describe_processor('cpu')


def _git(*arguments: str) -> str:
    return subprocess.run(['git', '-C', str(PACKAGE.parent), *arguments], capture_output=True, text=True,
                          check=True).stdout.strip()
