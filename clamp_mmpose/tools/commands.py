"""What the subcommands that run other commands share. Standard library only."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def attempt(steps: Callable[[], None]) -> int:
    """Runs the steps of a demo. Returns 0, or 1 after saying which command failed."""
    try:
        steps()
    except subprocess.CalledProcessError as error:
        print(f'\nThis command failed with status {error.returncode}:\n{shlex.join(error.cmd)}', file=sys.stderr)
        return 1
    return 0


def call(*command: object, log: Path | None = None) -> None:
    """Shows a command and runs it; raises CalledProcessError if it fails.

    With ``log`` the output goes there, after what it holds. Then the command runs apart from the terminal's Ctrl-C, and
    ends with everything it started when this process is interrupted.
    """
    words = [str(part) for part in command]
    print(f'\n$ {shlex.join(words)}', flush=True)
    if log is None:
        subprocess.run(words, env=_environment(), check=True)
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open('a') as output:
            print(f'$ {shlex.join(words)}', file=output, flush=True)
            _run_apart(words, output)


def _run_apart(words: list[str], output: object) -> None:
    # What this process has made inheritable, such as a lock, is to last as long as the command.
    with subprocess.Popen(words, env=_environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                          start_new_session=True, close_fds=False) as process:
        try:
            status = process.wait()
        except BaseException:
            _stop(process)
            raise
    if status:
        raise subprocess.CalledProcessError(status, words)


def _stop(process: subprocess.Popen) -> None:
    """Ends a command and its children: mim starts a Python of its own, which data loaders multiply."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)


def _environment() -> dict[str, str]:
    # mim and clamp-mmpose of this very Python, whether or not its environment is activated
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get('PATH', os.defpath)])
    # Threads that spin long while they wait for each other take five times as long where the machine has other work;
    # threads that do not spin at all take twice as long where it has none.
    return {'GOMP_SPINCOUNT': '400', **os.environ, 'PATH': path}


def find_config(config: Path) -> Path:
    """A shipped config or index: in the checkout this runs from, else in the installed package."""
    path = PACKAGE.parent / config
    if not path.exists():
        path = PACKAGE / '.mim' / config
    return Path(os.path.relpath(path))


def best_checkpoint(work_dir: Path) -> Path:
    """The best checkpoint of the latest training in a folder, or its last one where none was called best."""
    best = sorted(work_dir.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)
    return best[-1] if best else last_checkpoint(work_dir)


def last_checkpoint(work_dir: Path) -> Path:
    """The checkpoint of the latest epoch that was saved. FileNotFoundError where there is none."""
    return Path((work_dir / 'last_checkpoint').read_text().strip())
