"""Finds and runs the subcommands of `clamp-mmpose`. Standard library only: it must start in a broken stack.

A subcommand is a module of this folder with a plain string HELP, `add_arguments(parser)` and `run(args) -> int`.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import sys
import warnings
from pathlib import Path
from types import ModuleType

TOOLS_DIR = Path(__file__).resolve().parent

COMMANDS = {
    'bench': 'bench',
    'convert': 'convert',
    'demo': 'demo',
    'demo-pipeline': 'demo_pipeline',
    'doctor': 'doctor',
    'evidence': 'evidence',
    'export': 'export',
    'infer': 'infer',
    'make-splits': 'make_splits',
    'make-toy-data': 'make_toy_data',
    'prepare-mpii-captions': 'prepare_mpii_captions',
    'reproduce': 'reproduce',
    'visualize': 'visualize',
}
# These use the standard library alone and run without `import clamp_mmpose`, which needs MMPose and PyTorch.
STANDALONE = {'doctor', 'demo', 'demo-pipeline', 'evidence', 'reproduce'}


def read_constant(path: Path, name: str) -> str:
    """The value of a module's top-level `NAME = 'text'`, read without running the module."""
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', None) == name:
            return ast.literal_eval(node.value)
    raise ValueError(f'{path} has no top-level {name}')


def source_of(command: str) -> Path:
    """The file of a subcommand, which is a module or a package."""
    path = TOOLS_DIR / f'{COMMANDS[command]}.py'
    return path if path.exists() else path.with_suffix('') / '__init__.py'


def usage() -> str:
    """What `clamp-mmpose --help` prints."""
    width = max(map(len, COMMANDS))
    commands = '\n'.join(f'  {name:<{width}}  {read_constant(source_of(name), "HELP")}' for name in COMMANDS)
    return f"""usage: clamp-mmpose [--help] [--version] COMMAND ...

Language and adaptation for 2D pose estimation, a plugin for MMPose.

commands:
{commands}

`clamp-mmpose COMMAND --help` describes one of them. To train and test: `mim train mmpose CONFIG`."""


def load(command: str) -> ModuleType:
    """Imports the module of a subcommand. Raises whatever that import raises."""
    package = __package__ if command in STANDALONE else 'clamp_mmpose.tools'
    return importlib.import_module(f'{package}.{COMMANDS[command]}')


def main(argv: list[str] | None = None) -> int:
    """Runs `clamp-mmpose ARGV`. Returns the exit status: 1 if the command failed, 2 if there is no such command."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0] in ('-h', '--help'):
        print(usage())
        return 0
    if argv[0] == '--version':
        print('clamp-mmpose', read_constant(TOOLS_DIR.parent / 'version.py', '__version__'))
        return 0
    command, rest = argv[0], argv[1:]
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f' Did you mean `{close[0]}`?' if close else ''
        print(f'clamp-mmpose: there is no command `{command}`, only {", ".join(COMMANDS)}.{hint}', file=sys.stderr)
        return 2
    # Of MMEngine's own imports, in front of whatever a command says.
    warnings.filterwarnings('ignore', 'pkg_resources is deprecated')
    try:
        module = load(command)
    except Exception as error:
        print(f'clamp-mmpose {command} cannot start: {type(error).__name__}: {error}', file=sys.stderr)
        print('`clamp-mmpose doctor` finds out what is wrong with the installation.', file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(prog=f'clamp-mmpose {command}', description=module.HELP)
    module.add_arguments(parser)
    try:
        arguments = parser.parse_args(rest)
    except ValueError as error:  # of MMEngine's --cfg-options
        parser.error(f'--cfg-options takes KEY=VALUE, such as model.test_cfg.flip_test=False: {error}')
    return module.run(arguments)
