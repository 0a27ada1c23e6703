"""Running other commands: where their output goes, and what is left of them after an interruption."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clamp_mmpose.tools import commands

# A shell without job control starts what runs in the background with interruptions ignored.
SCRIPT = '''
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from clamp_mmpose.tools.commands import call
child = "import os, time; print(os.getpid(), flush=True); time.sleep(120)"
call(sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])",
     log=Path(sys.argv[1]))
'''


def test_output_goes_to_the_log_behind_what_it_holds(tmp_path, capfd):
    log = tmp_path / 'new folder' / 'log'
    for word in ('first', 'second'):
        commands.call(sys.executable, '-c', f'import sys; print("{word}"); print("error", file=sys.stderr)', log=log)
    before, after = log.read_text().split('$ ')[1:]
    for word, lines in (('first', before.splitlines()), ('second', after.splitlines())):
        assert word in lines and 'error' in lines
    assert 'error' not in capfd.readouterr().err


def test_a_command_that_fails_says_its_status(tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as raised:
        commands.call(sys.executable, '-c', 'raise SystemExit(7)', log=tmp_path / 'log')
    assert raised.value.returncode == 7


def test_an_interruption_ends_the_command_and_what_it_started(tmp_path):
    log = tmp_path / 'log'
    process = subprocess.Popen([sys.executable, '-c', SCRIPT, str(log)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    grandchild = _wait_for(lambda: int(log.read_text().splitlines()[-1]))
    process.send_signal(signal.SIGINT)  # to it alone, as from a scheduler
    process.wait(timeout=30)
    _wait_for(lambda: _is_gone(grandchild))


def _wait_for(what, seconds=40):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = what()
        except (OSError, ValueError, IndexError):
            found = None
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError('waited in vain')


def _is_gone(number):
    status = Path(f'/proc/{number}/stat')
    if status.exists() and status.read_text().rpartition(')')[2].split()[0] != 'Z':
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    return status.exists()


def test_the_last_checkpoint_counts_where_none_was_best(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('somewhere/epoch_3.pth\n')
    assert commands.best_checkpoint(tmp_path) == commands.last_checkpoint(tmp_path) == Path('somewhere/epoch_3.pth')
    (tmp_path / 'best_coco_AP_epoch_2.pth').touch()
    assert commands.best_checkpoint(tmp_path) == tmp_path / 'best_coco_AP_epoch_2.pth'
