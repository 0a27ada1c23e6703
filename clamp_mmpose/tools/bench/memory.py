"""Peak memory of one step, in a process of its own: `python -m clamp_mmpose.tools.bench.memory CASE`."""
from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

STEPS = 2  # the first allocates gradients and the optimizer's moments, the second runs on top of them
_MARK = 'peak memory: '


class Memory(NamedTuple):
    """Bytes: the model's parameters and buffers, and the most that a step needed on top of the built model."""

    model: int
    steps: int


def measure_memory(config: str, task: str, batch_size: int, *, device: str, bf16: bool, threads: int) -> Memory:
    """Builds and runs the case in a fresh process. Raises RuntimeError with the end of its output if that fails."""
    case = json.dumps(dict(config=config, task=task, batch_size=batch_size, device=device, bf16=bf16, threads=threads))
    process = subprocess.run(
        [sys.executable, '-m', __name__, case], capture_output=True, text=True, check=False)
    last = process.stdout.strip().rpartition('\n')[2]
    if process.returncode or not last.startswith(_MARK):
        raise RuntimeError(f'measuring the memory of {case} failed (status {process.returncode}):\n'
                           f'{process.stderr[-2000:]}')
    return Memory(*json.loads(last[len(_MARK):]))


def _measure_here(config: str, task: str, batch_size: int, *, device: str, bf16: bool, threads: int) -> Memory:
    import torch

    from .subject import Setting, Subject
    torch.set_num_threads(threads)
    subject = Subject(config, task, device)
    step = subject.step(batch_size, Setting(bf16=bf16))
    gc.collect()
    meter = _CudaMeter() if device.startswith('cuda') else _ProcessMeter()
    meter.reset()
    built = meter.now()
    for _ in range(STEPS):
        step()
    tensors = [*subject.model.parameters(), *subject.model.buffers()]
    return Memory(sum(tensor.nbytes for tensor in tensors), meter.peak() - built)


class _ProcessMeter:
    """Resident memory of this process, from Linux's /proc."""

    def now(self) -> int:
        return self._status('VmRSS')

    def reset(self) -> None:
        Path('/proc/self/clear_refs').write_text('5')  # sets the high-water mark to what is in use now

    def peak(self) -> int:
        return self._status('VmHWM')

    @staticmethod
    def _status(field: str) -> int:
        for line in Path('/proc/self/status').read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f'/proc/self/status has no {field}')


class _CudaMeter:
    """What PyTorch has allocated on the current CUDA device."""

    def now(self) -> int:
        import torch
        return torch.cuda.memory_allocated()

    def reset(self) -> None:
        import torch
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        import torch
        return torch.cuda.max_memory_allocated()


if __name__ == '__main__':
    print(_MARK + json.dumps(_measure_here(**json.loads(sys.argv[1]))))
