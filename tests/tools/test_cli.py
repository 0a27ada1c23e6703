"""The `clamp-mmpose` command: finding subcommands, and the demo's chain of commands."""

import ast
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from clamp_mmpose.tools import cli, demo

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / 'clamp_mmpose_cli.py'


def launch(*arguments, pythonpath=''):
    """Runs the launcher as the console script does; returns the finished process."""
    environ = {**os.environ, 'PYTHONPATH': str(pythonpath)}
    command = [sys.executable, str(LAUNCHER), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)


def test_help_names_every_command_without_importing_the_package():
    code = (
        'import sys, clamp_mmpose_cli; status = clamp_mmpose_cli.main(["--help"]); '
        'heavy = {"torch", "mmpose", "mmengine", "numpy", "clamp_mmpose"} & set(sys.modules); '
        'sys.exit(f"imported {heavy}" if heavy else status)'
    )
    process = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    for name in cli.COMMANDS:
        line = next(line for line in process.stdout.splitlines() if line.split()[:1] == [name])
        assert cli.read_constant(cli.source_of(name), 'HELP') in line


def test_version_is_the_package_version():
    from clamp_mmpose import __version__

    assert launch('--version').stdout.split() == ['clamp-mmpose', __version__]


def test_unknown_command_suggests_the_closest_one():
    process = launch('docter')
    assert process.returncode == 2
    assert 'Did you mean `doctor`?' in process.stderr


def test_every_module_with_a_command_line_is_a_command():
    tools = cli.TOOLS_DIR
    offered = set()
    for path in [*tools.glob('*.py'), *tools.glob('*/__init__.py')]:
        names = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        if {'add_arguments', 'run'} <= names:
            offered.add(path.parent.name if path.name == '__init__.py' else path.stem)
    assert offered == set(cli.COMMANDS.values())
    assert set(cli.COMMANDS) >= cli.STANDALONE


@pytest.mark.parametrize('command', sorted(cli.STANDALONE))
def test_standalone_command_starts_without_any_installed_package(command):
    arguments = [sys.executable, '-S', str(LAUNCHER), command, '--help']  # -S: no site-packages
    process = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert f'usage: clamp-mmpose {command}' in process.stdout, process.stderr


def test_command_takes_its_own_arguments(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(['make-toy-data', '--help'])
    assert stopped.value.code == 0
    assert 'usage: clamp-mmpose make-toy-data' in capsys.readouterr().out


def test_help_says_nothing_of_other_packages():
    process = launch('make-toy-data', '--help')
    assert process.returncode == 0 and 'pkg_resources' not in process.stderr


@pytest.mark.parametrize('arguments', [
    ['infer', 'a.png', '--config', 'a.py', '--checkpoint', 'a.pth'],
    ['convert', 'in.pth', 'out.pth', '--config', 'a.py'],
    ['visualize', 'a.py', 'a.pth', '--out', 'out'],
])
def test_an_option_of_the_config_without_a_value_is_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*arguments, '--cfg-options', 'flip_test'])
    assert stopped.value.code == 2
    assert 'error: --cfg-options takes KEY=VALUE' in capsys.readouterr().err.splitlines()[-1]


def test_command_that_cannot_be_imported_points_to_the_doctor(tmp_path):
    (tmp_path / 'torch.py').write_text('raise RuntimeError("operator torchvision::nms does not exist")')
    process = launch('make-toy-data', 'out', pythonpath=tmp_path)
    assert process.returncode == 1
    assert 'RuntimeError: operator torchvision::nms does not exist' in process.stderr
    assert '`clamp-mmpose doctor`' in process.stderr
    assert 'Traceback' not in process.stderr


def record_calls(monkeypatch, work_dir):
    """Replaces the demo's commands by ones that only leave behind what the next step reads."""
    calls = []

    def call(*command):
        words = [str(word) for word in command]
        calls.append(words)
        if words[:2] == ['mim', 'train']:
            work_dir.mkdir(parents=True)
            for epoch, seconds in ((9, 1000), (27, 2000)):
                path = work_dir / f'best_coco_AP_epoch_{epoch}.pth'
                path.touch()
                os.utime(path, (seconds, seconds))
        elif words[:2] == ['mim', 'test']:
            Path(words[words.index('--out') + 1]).write_text(json.dumps({'coco/AP': 0.7264}))
        elif words[1] == 'visualize':
            pictures = Path(words[words.index('--out') + 1])
            pictures.mkdir()
            (pictures / 'prediction.png').touch()

    monkeypatch.setattr(demo, 'call', call)
    return calls


def test_demo_tests_and_draws_its_best_checkpoint(tmp_path, monkeypatch, capsys):
    work_dir = tmp_path / 'work'
    calls = record_calls(monkeypatch, work_dir)
    assert demo.run(Namespace(work_dir=work_dir)) == 0
    assert [words[:2] for words in calls] == [
        ['clamp-mmpose', 'make-toy-data'],
        ['mim', 'train'],
        ['mim', 'test'],
        ['clamp-mmpose', 'visualize'],
    ]
    best = str(work_dir / 'best_coco_AP_epoch_27.pth')
    assert best in calls[2] and best in calls[3]
    printed = capsys.readouterr().out
    assert 'AP 0.726' in printed
    assert str(work_dir / 'pictures' / 'prediction.png') in printed


def test_demo_stops_at_the_first_command_that_fails(tmp_path, monkeypatch, capsys):
    def call(*command):
        raise subprocess.CalledProcessError(3, [str(word) for word in command])

    monkeypatch.setattr(demo, 'call', call)
    assert demo.run(Namespace(work_dir=tmp_path)) == 1
    assert 'failed with status 3:\nclamp-mmpose make-toy-data' in capsys.readouterr().err
