from __future__ import annotations

import hashlib
from pathlib import Path


def hash_file(path: Path) -> str:
    """The sha256 of a file of any size."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()
