"""The Markdown page: one section per device, each with its machine, its date and its tables."""
from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from .adaptation import STEPS, AdaptationRow
from .captions import CaptionRow
from .memory import Memory
from .subject import FUSED, INFERENCE, TRAINING
from .timing import Ratio

# (backbone, batch size): what CLAMP's released code was measured at on a CPU, and the ratio to stay below
RELEASED = {
    INFERENCE: {('RN50', 1): 2.47, ('RN50', 8): 1.31, ('ViT-B/16', 1): 1.38, ('ViT-B/16', 8): 1.07},
    TRAINING: {('RN50', 1): 2.78, ('RN50', 8): 1.55, ('ViT-B/16', 1): 1.72, ('ViT-B/16', 8): 1.07},
}
GOALS = {
    INFERENCE: {('RN50', 1): 1.15, ('RN50', 8): 1.10, ('ViT-B/16', 1): 1.06, ('ViT-B/16', 8): 1.03},
    TRAINING: {('RN50', 1): 1.9, ('RN50', 8): 1.32, ('ViT-B/16', 1): 1.35, ('ViT-B/16', 8): 1.06},
}
PACKAGES = ('clamp-mmpose', 'torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmpose', 'open_clip_torch',
            'transformers')
DEVICES = {'cpu': 'CPU', 'cuda': 'GPU'}
SECTIONS = {**DEVICES, **{f'captions-{device}': f'Captions on the {name}' for device, name in DEVICES.items()},
            **{f'adaptation-{device}': f'Adaptation on the {name}' for device, name in DEVICES.items()}}

INTRODUCTION = f"""# Benchmarks

What language costs: CLAMP and DenseCLIP beside SimpleBaseline on the same CLIP backbone, in one run on one machine.
Written by `clamp-mmpose bench` (`make bench`), which replaces the sections of the device it ran on. What writing poses
as captions costs, and what adapting to each image costs, is further below.

- The models come from the configs in `configs`, with random weights, at the configs' own input size. The backbone
  computes its image embedding in all of them, as in Table 7 of the CLAMP paper.
- *{INFERENCE}*: from a normalised batch to keypoints in image coordinates, flip test included, as MMPose's test loop
  does. The prompts are encoded once and kept. *{FUSED}*: the same after `neck.fuse_text()`.
- *{TRAINING}*: losses, backward pass and optimizer step of the config.
- A method and SimpleBaseline take turns, first one and then the other in front. A ratio is their times' in the same
  round: the median of all rounds, with the least and the greatest. Times are medians. Warm-up is not counted.
- *Released code* is the same ratio of CLAMP's released code, measured earlier on a CPU with 2 threads.
- Memory: *model* is the bytes of parameters and buffers; *step* is the peak on top of the built model and its batch,
  in a process of its own: resident memory (VmHWM) on a CPU, what PyTorch allocated on a GPU. A training step's includes
  gradients and the optimizer's moments.

Captions: BLIP-base at 384x384 pixels, constrained beside free greedy decoding, taking turns in the same way.

- The weights are random. Left alone they would write without an end, and each way of decoding something else; so the
  scores of the tokens of a given caption, of another random pose for each image, are raised until they win. Both ways
  write the same tokens, at the same cost for each. The vocabulary has the size of BLIP's and splits MPII's names and
  numbers as that does.
- *decoding* begins with the image tower's tokens and ends with the caption. Free greedy decoding has a key-value cache
  too. *with image tower*: the same ratio of what a picture costs in all. *tokens* are those of the captions, end token
  included; a *call* of the decoder is for all captions of the batch.

Adaptation: MeTTA's head on a ResNet-50, all at full width, {STEPS} steps per image; one of a pair over the other, all
of them taking turns.

- Predictions go from a normalised batch to keypoints in image coordinates, without flip test; adapted ones with the
  guard, which costs one forward pass more. A *meta step* is the loss of the meta stage and its gradients.
- *a plain loop* runs the whole model in every step, paints the whole image and differentiates with respect to every
  parameter, one image at a time.
- *operations* are those of the convolutions and matrix products for one image, as PyTorch's counter has them (a
  multiplication and an addition are two). *measured / counted* is the ratio of the times over that of the operations:
  above 1 the first of the pair makes less of the machine than the second.
"""


class TimingRow(NamedTuple):
    method: str
    task: str
    backbone: str
    batch_size: int
    setting: str
    ours: float  # seconds
    baseline: float
    ratio: Ratio


class MemoryRow(NamedTuple):
    method: str
    task: str
    backbone: str
    batch_size: int
    setting: str
    ours: Memory
    baseline: Memory


def write_section(path: Path, device: str, section: str) -> None:
    """Puts the section of ``device``, a key of SECTIONS, into the page; the other ones stay as they are."""
    sections = {name: f'## {name}\n\n`not run`\n' for name in SECTIONS.values()}
    if path.exists():
        for name, text in re.findall(r'^## ([^\n]+)\n(.*?)(?=^## |\Z)', path.read_text(encoding='utf-8'), re.M | re.S):
            if name in sections:
                sections[name] = f'## {name}\n{text.rstrip()}\n'
    sections[SECTIONS[device]] = section
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join([INTRODUCTION, *sections.values()]), encoding='utf-8')


def make_section(device: str, machine: Sequence[str], timings: Sequence[TimingRow],
                 memories: Sequence[MemoryRow]) -> str:
    """The section of one device: ``machine`` as a list, and the tables."""
    lines = [f'## {DEVICES[device]}', '', *(f'- {line}' for line in machine), '', '### Time', '']
    header = ['method', 'task', 'backbone', 'batch', 'precision', 'time', 'SimpleBaseline', 'ratio (least to greatest)']
    if device == 'cpu':
        header += ['to reach', 'released code']
    lines += _table(header, [_timing_cells(row, device) for row in timings])
    if memories:
        header = ['method', 'task', 'backbone', 'batch', 'precision', 'model + step', 'SimpleBaseline: model + step',
                  'ratio of the sums']
        lines += ['', '### Peak memory', '', *_table(header, [_memory_cells(row) for row in memories])]
    return '\n'.join(lines) + '\n'


def make_caption_section(device: str, machine: Sequence[str], rows: Sequence[CaptionRow]) -> str:
    header = ['batch', 'precision', 'image tower', 'constrained decoding', 'free greedy decoding',
              'ratio (least to greatest)', 'with image tower', 'tokens', 'tokens per second', 'free greedy: per second',
              'calls', 'free greedy: calls']
    cells = []
    for row in rows:
        ratios = [f'{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})' for ratio in (row.ratio, row.whole_ratio)]
        cells.append([
            str(row.batch_size), row.setting, *(f'{seconds * 1e3:.0f} ms'
                                                for seconds in (row.image, row.constrained, row.greedy)), *ratios,
            str(row.tokens), f'{row.tokens / row.constrained:.0f}', f'{row.tokens / row.greedy:.0f}',
            str(row.constrained_calls), str(row.greedy_calls)])
    lines = [f'## Captions on the {DEVICES[device]}', '', *(f'- {line}' for line in machine), '']
    return '\n'.join([*lines, *_table(header, cells)]) + '\n'


def make_adaptation_section(device: str, machine: Sequence[str], rows: Sequence[AdaptationRow]) -> str:
    header = ['input', 'batch', 'what', 'time', 'over', 'ratio (least to greatest)', 'operations', 'over',
              'ratio of operations', 'measured / counted']
    cells = []
    for row in rows:
        counted = row.operations / row.baseline_operations
        cells.append([
            f'{row.size}x{row.size}', str(row.batch_size), row.what,
            *(f'{seconds * 1e3:.0f} ms' for seconds in (row.ours, row.baseline)),
            f'{row.ratio.median:.2f} ({row.ratio.low:.2f} to {row.ratio.high:.2f})',
            *(f'{operations / 1e9:.1f} G' for operations in (row.operations, row.baseline_operations)),
            f'{counted:.2f}', f'{row.ratio.median / counted:.2f}'])
    lines = [f'## Adaptation on the {DEVICES[device]}', '', *(f'- {line}' for line in machine), '']
    return '\n'.join([*lines, *_table(header, cells)]) + '\n'


def describe_versions() -> str:
    """Python and the packages that the numbers depend on."""
    found = [f'Python {platform.python_version()}']
    for package in PACKAGES:
        try:
            found.append(f'{package} {version(package)}')
        except PackageNotFoundError:
            found.append(f'{package} not installed')
    return ', '.join(found)


def _timing_cells(row: TimingRow, device: str) -> list[str]:
    ratio = row.ratio
    cells = [row.method, row.task, row.backbone, str(row.batch_size), row.setting, f'{row.ours * 1e3:.1f} ms',
             f'{row.baseline * 1e3:.1f} ms', f'{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})']
    if device == 'cpu':
        case = (row.backbone, row.batch_size)
        for numbers, form in ((GOALS, '<= {:.2f}'), (RELEASED, '{:.2f}')):
            known = numbers.get(row.task, {}).get(case) if row.method == 'CLAMP' else None
            cells.append('-' if known is None else form.format(known))
    return cells


def _memory_cells(row: MemoryRow) -> list[str]:
    cells = [row.method, row.task, row.backbone, str(row.batch_size), row.setting]
    cells += [f'{memory.model / 2**20:.0f} + {memory.steps / 2**20:.0f} MiB' for memory in (row.ours, row.baseline)]
    return [*cells, f'{sum(row.ours) / sum(row.baseline):.2f}']


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f'| {" | ".join(cells)} |' for cells in (header, ['---'] * len(header), *rows)]
