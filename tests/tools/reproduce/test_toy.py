"""The toy protocols by the real commands: drawn, split, trained, tested, and gone on with."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def reproduce(work_dir, *arguments, status=0):
    environ = dict(os.environ, PYTHONPATH=str(ROOT), PYTHONWARNINGS='ignore')
    environ.setdefault('OMP_NUM_THREADS', '2')
    command = [sys.executable, str(ROOT / 'clamp_mmpose_cli.py'), 'reproduce', 'clamp', '--toy', '--work-dir',
               str(work_dir), '--pictures', '60', '--animals', '64', *arguments]
    process = subprocess.run(command, cwd=work_dir.parent, env=environ, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False)
    assert process.returncode == status, process.stdout[-4000:]
    return process.stdout


@pytest.mark.slow
def test_zero_shot_and_few_shot_rows_run_on_drawn_animals(tmp_path):
    work_dir = tmp_path / 'my work'
    rows = ('--table', 'zero-shot', 'few-shot', '--row', 'clamp_tiny', '--seeds', '1')
    output = reproduce(work_dir, *rows)
    assert output.count('mim train') == 2 and '2 done, 0 failed' in output
    for name, images in (('20shot', 'val'), ('bovidae2canidae', 'all')):
        (file, ) = work_dir.glob(f'clamp_tiny_*{name}*/seed1/run.json')
        state = json.loads(file.read_text())
        assert 0 <= state['results']['last']['AP'] <= 100
        assert any(f'ap10k-{images}-split1' in data for data in state['data'])
    page = (work_dir / 'table.md').read_text()
    assert '| zero-shot | CLAMP | +5.6 |' in page and '--seeds 1`' in page
    # make-splits finds the files as it would write them, and nothing is left to do.
    again = reproduce(work_dir, *rows)
    assert 'mim' not in again and again.count('done before') == 2
