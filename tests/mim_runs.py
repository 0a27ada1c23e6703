"""Running mim as a user does, for the tests that need the real tools."""
import json
import os
import subprocess
import sys
from pathlib import Path


def mim(*arguments, status=0):
    """Runs mim on two threads; returns its output, both streams in one."""
    environ = dict(os.environ, PYTHONWARNINGS='ignore')
    environ.setdefault('OMP_NUM_THREADS', '2')
    environ['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), environ['PATH']])
    command = [str(Path(sys.executable).with_name('mim')), *map(str, arguments)]
    process = subprocess.run(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert (process.returncode == 0) == (status == 0), process.stdout[-4000:]
    return process.stdout


LOSSES = ('loss', 'loss_kpt', 'loss_spatial', 'loss_feature', 'loss_score')


def losses(work_dir, epoch, parts=LOSSES):
    """(loss, its parts) of each iteration of one epoch, as logged by the latest run in a work directory."""
    scalars = max(work_dir.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime)
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    return [tuple(row.get(part) for part in parts) for row in rows if row.get('epoch') == epoch and 'loss' in row]
