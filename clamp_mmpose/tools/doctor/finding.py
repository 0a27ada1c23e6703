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


def build_in_place(pip: str, arguments: str) -> str:
    """The command that installs with what is built on the way seeing the installed packages.

    An isolated build sees neither the installed NumPy nor torch, and chumpy does not build in one; without
    --no-cache-dir pip takes a wheel that it once built against another torch.
    """
    tools = '"setuptools>=77,<81" wheel cython ninja psutil'
    return f'{pip} install {tools} && {pip} install --no-build-isolation --no-cache-dir {arguments}'


def from_source(pip: str, requirement: str) -> str:
    """The command that compiles an installed package anew, whatever wheels pip knows of."""
    name = re.match(r'[\w-]+', requirement).group()
    return build_in_place(pip, f'--force-reinstall --no-deps --no-binary {name} "{requirement}"')


def install_mmcv(pip: str) -> str:
    """The command that compiles the tested mmcv against the installed torch."""
    return from_source(pip, 'mmcv==2.1.0')


def install_openmmlab(pip: str, requirement: str) -> str:
    """The command that installs one of OpenMMLab's packages with all that it needs."""
    return build_in_place(pip, f'--no-binary xtcocotools "{requirement}"')
