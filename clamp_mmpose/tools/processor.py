"""The name of the machine that something was measured on. Standard library only, but for a GPU."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def describe_processor(device: str) -> str:
    """The name of the CPU, and of the GPU where ``device`` is one."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.exists():
        models = re.findall(r'^model name\s*: (.+)$', cpuinfo.read_text(), re.M)
        name = models[0] if models else name
    text = f'{name}, {os.cpu_count()} cores'
    if device == 'cuda':
        import torch
        text = f'{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}; {text}'
    return text
