"""What a check reports, and the small words that all checks share."""

from __future__ import annotations

import re
from typing import NamedTuple

BROKEN, WARNING = 'broken', 'warning'


class Finding(NamedTuple):
    """Something wrong. mend: a shell command, or words where no command does it.

    `explains` names the imports whose failure this accounts for, so that they are not reported a second time.
    """

    level: str
    title: str
    why: str
    mend: str
    explains: tuple = ()


def release(version: str) -> tuple:
    """The numbers of a version: '2.11.0+cu130' -> (2, 11, 0); suffixes such as rc4 and +cpu are dropped."""
    return tuple(int(number) for number in re.match(r'[\d.]*', version).group().split('.') if number)


def error_of(stack: dict, name: str) -> str:
    """What an import failed with; empty where it works or was not tried."""
    return stack['imports'].get(name, {}).get('error', '')


def from_source(pip: str, requirement: str) -> str:
    """The command that compiles a package against what is installed, whatever wheels pip knows of.

    Without --no-build-isolation the build sees neither the installed NumPy nor torch; without --no-cache-dir pip
    takes a wheel it once built against another torch.
    """
    name = re.match(r'[\w-]+', requirement).group()
    return (
        f'{pip} install "setuptools>=77,<81" wheel cython ninja psutil && {pip} install --force-reinstall --no-deps '
        f'--no-cache-dir --no-build-isolation --no-binary {name} "{requirement}"'
    )


def install_mmcv(pip: str) -> str:
    """The command that compiles the tested mmcv against the installed torch."""
    return from_source(pip, 'mmcv==2.1.0')
