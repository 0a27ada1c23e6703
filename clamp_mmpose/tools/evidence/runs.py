"""Trainings and tests that are made once: what they found is kept beside what they were made of."""
from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

KEPT = 'evidence.json'


def once(folder: Path, origin: str, run: Callable[[], dict]) -> dict:
    """What ``run`` returns, and its minutes. Where the folder has the result of the same ``origin``, that one.

    ``origin`` is all that the result depends on, as text: the config, the data, the runs before it.
    """
    kept, key = folder / KEPT, hashlib.sha256(origin.encode()).hexdigest()
    if kept.exists():
        before = json.loads(kept.read_text())
        if before.get('origin') == key:
            return before['found']
        kept.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    started = time.time()
    found = run()
    found = dict(found, minutes=(time.time() - started) / 60)
    kept.write_text(json.dumps(dict(origin=key, found=found)))
    return found


def described(cfg) -> str:
    """All of a config, as the origin of what comes from it."""
    return json.dumps(cfg.to_dict(), default=str)


def dump(cfg, work_dir: Path) -> Path:
    """Writes the config beside its ``work_dir``, for `mim`."""
    work_dir.parent.mkdir(parents=True, exist_ok=True)
    path = work_dir.with_name(f'{work_dir.name}.py')
    cfg.dump(path)
    return path


def newest(folder: Path, pattern: str) -> Path:
    """The file that was written last. FileNotFoundError where there is none."""
    files = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    if not files:
        raise FileNotFoundError(f'{folder} has no {pattern}')
    return files[-1]


def drawn(data: Path) -> str:
    """What tells generated data from others: its manifest."""
    return (data / 'manifest.json').read_text()
