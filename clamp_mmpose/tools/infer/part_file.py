from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO


class PartFile:
    """A text file that appears under its name when it is complete; until then it is ``<name>.part``."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.part = path, path.with_name(path.name + '.part')
        self.file: TextIO = open(self.part, 'w', encoding='utf-8', newline='')  # noqa: SIM115  (closed in finish)

    def finish(self) -> Path:
        self.file.close()
        os.replace(self.part, self.path)
        return self.path
