"""`clamp-mmpose bench`: what language costs beside SimpleBaseline on the same backbone, in time and memory, what
constrained decoding of captions gains, and what adapting to each image costs.
"""
from __future__ import annotations

import argparse
import datetime
import logging
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from ..processor import describe_processor
from .adaptation import CASES, ROUNDS, AdaptationRow, AdaptationSubject, time_adaptation
from .captions import CONFIG, CaptionRow, CaptionSubject, time_captions
from .memory import measure_memory
from .report import (
    MemoryRow,
    TimingRow,
    describe_versions,
    make_adaptation_section,
    make_caption_section,
    make_section,
    write_section,
)
from .subject import FUSED, INFERENCE, TRAINING, Setting, Subject
from .timing import compare, interleave

HELP = ('measure time and memory of CLAMP and DenseCLIP beside SimpleBaseline, decoding of captions, and adaptation '
        '(MeTTA); most of an hour on two cores')


class Group(NamedTuple):
    """Configs that are compared: each method's beside the baseline, all on one backbone."""

    backbone: str
    methods: dict[str, str]
    baseline: str


GROUPS = [
    Group('RN50', {
        'CLAMP': 'clamp/clamp_rn50_4xb32-210e_ap10k-256x256.py',
        'DenseCLIP': 'denseclip/denseclip_rn50_4xb32-210e_ap10k-256x256.py',
    }, 'clamp/simplebaseline_clip-rn50_4xb32-210e_ap10k-256x256.py'),
    Group('ViT-B/16', {
        'CLAMP': 'clamp/clamp_vit-b16_4xb32-210e_ap10k-256x256.py',
        'DenseCLIP': 'denseclip/denseclip_vit-b16_4xb32-210e_ap10k-256x256.py',
    }, 'clamp/simplebaseline_clip-vit-b16_4xb32-210e_ap10k-256x256.py'),
]
WHAT = ('language', 'captions', 'adaptation')
# One round of captions at batch 8 takes most of a minute on two cores.
CAPTION_ROUNDS = 5
SETTINGS = {
    'cpu': [Setting()],
    'cuda': [Setting(), Setting(bf16=True), Setting(compiled=True), Setting(bf16=True, compiled=True)],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--out', type=Path, default=Path('docs', 'benchmarks.md'), help='default: %(default)s')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu', help='default: %(default)s')
    parser.add_argument('--threads', type=int, default=2, help='of PyTorch; default: %(default)s')
    parser.add_argument('--repeats', type=int, default=15, help='rounds that count; default: %(default)s')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 8], metavar='B', help='default: 1 8')
    parser.add_argument('--quick', action='store_true', help='3 rounds and batch 1 only, for a first look')
    parser.add_argument('--what', nargs='+', choices=WHAT, default=list(WHAT),
                        help='CLAMP and DenseCLIP beside SimpleBaseline, BLIP with constrained beside free decoding, '
                        'or MeTTA adapting in batches of the largest of --batch-sizes (default: all)')
    parser.add_argument(
        '--pair', nargs=3, action='append', metavar=('NAME', 'OURS', 'BASELINE'),
        help='two configs to compare in place of the shipped ones of RN50 and ViT-B/16, and of '
        'captions and adaptation; can be repeated')


def run(args: argparse.Namespace) -> int:
    """Measures, prints each number as it comes, and writes the page. Returns 1 if there is no such device."""
    if args.device == 'cuda' and not torch.cuda.is_available():
        print('clamp-mmpose bench: PyTorch finds no CUDA device; --device cpu measures on the CPU', file=sys.stderr)
        return 1
    if args.quick:
        args.repeats, args.batch_sizes = 3, [1]
    if min(args.repeats, args.threads, *args.batch_sizes) < 1:
        print('clamp-mmpose bench: --repeats, --threads and --batch-sizes must be 1 or more', file=sys.stderr)
        return 1
    groups = [Group(name, {'given': ours}, baseline) for name, ours, baseline in args.pair or ()] or _shipped_groups()
    absent = [config for group in groups for config in (*group.methods.values(), group.baseline)
              if not Path(config).is_file()]
    if absent:
        print(f'clamp-mmpose bench: --pair: there is no file {", ".join(absent)}', file=sys.stderr)
        return 1
    torch.set_num_threads(args.threads)
    logging.disable(logging.WARNING)  # building a model tells how each layer was initialised
    try:
        if 'language' in args.what:
            _compare_methods(groups, args)
        if 'captions' in args.what and not args.pair:
            _compare_decoding(args)
        if 'adaptation' in args.what and not args.pair:
            _compare_adaptation(args)
    except ImportError as error:
        print(f'clamp-mmpose bench: {error}', file=sys.stderr)
        return 1
    finally:
        logging.disable(logging.NOTSET)
    print(f'written: {args.out}')
    return 0


def _compare_methods(groups: Sequence[Group], args: argparse.Namespace) -> None:
    machine = _describe_run(args, args.repeats)
    timings, memories = [], []
    for group in groups:
        for row in _time(group, args):
            timings.append(row)
            print(f'{row.method}, {row.backbone}, {row.task}, batch {row.batch_size}, {row.setting}: '
                  f'{row.ratio.median:.3f} ({row.ratio.low:.3f} to {row.ratio.high:.3f})', flush=True)
    for group in groups:
        memories += _weigh(group, args)
    write_section(args.out, args.device, make_section(args.device, machine, timings, memories))


def _compare_decoding(args: argparse.Namespace) -> None:
    rounds = min(args.repeats, CAPTION_ROUNDS)
    machine = _describe_run(args, rounds, ' --what captions')
    settings = [setting for setting in SETTINGS[args.device] if not setting.compiled]
    rows: list[CaptionRow] = []
    subject = CaptionSubject(str(_configs_folder() / CONFIG), args.device)
    for row in time_captions(subject, repeats=rounds, batch_sizes=args.batch_sizes, settings=settings):
        rows.append(row)
        print(f'BLIP, constrained over free greedy decoding, batch {row.batch_size}, {row.setting}: '
              f'{row.ratio.median:.3f} ({row.ratio.low:.3f} to {row.ratio.high:.3f}), {row.constrained_calls} of '
              f'{row.greedy_calls} calls', flush=True)
    write_section(args.out, f'captions-{args.device}', make_caption_section(args.device, machine, rows))


def _compare_adaptation(args: argparse.Namespace) -> None:
    rounds = min(args.repeats, ROUNDS)
    machine = _describe_run(args, rounds, ' --what adaptation')
    rows: list[AdaptationRow] = []
    for case in CASES:
        subject = AdaptationSubject(case.size, case.num_keypoints, args.device)
        for row in time_adaptation(subject, case, repeats=rounds, batch_size=max(args.batch_sizes)):
            rows.append(row)
            print(f'MeTTA, {row.what}, {row.size}x{row.size}, batch {row.batch_size}: {row.ratio.median:.2f} '
                  f'({row.ratio.low:.2f} to {row.ratio.high:.2f}), by operations '
                  f'{row.operations / row.baseline_operations:.2f}', flush=True)
    write_section(args.out, f'adaptation-{args.device}', make_adaptation_section(args.device, machine, rows))


def _time(group: Group, args: argparse.Namespace) -> Iterator[TimingRow]:
    """Rows of one group, pair by pair: more models in the same rounds would crowd each other out of the caches."""
    for method, config in group.methods.items():
        for ours, baseline in (((INFERENCE, FUSED), INFERENCE), ((TRAINING, ), TRAINING)):
            subjects = {task: Subject(config, task, args.device) for task in ours}
            subjects['baseline'] = Subject(group.baseline, baseline, args.device)
            for setting in SETTINGS[args.device]:
                for batch_size in args.batch_sizes:
                    seconds = interleave(
                        {key: subject.step(batch_size, setting) for key, subject in subjects.items()},
                        args.repeats,
                        synchronize=torch.cuda.synchronize if args.device == 'cuda' else None)
                    for task in ours:
                        yield TimingRow(method, task, group.backbone, batch_size, str(setting),
                                        statistics.median(seconds[task]), statistics.median(seconds['baseline']),
                                        compare(seconds[task], seconds['baseline']))


def _weigh(group: Group, args: argparse.Namespace) -> Iterator[MemoryRow]:
    settings = [setting for setting in SETTINGS[args.device] if not setting.compiled]
    for task in (INFERENCE, FUSED, TRAINING):
        for setting in settings:
            for batch_size in args.batch_sizes:
                print(f'{group.backbone}, {task}, batch {batch_size}, {setting}: memory', flush=True)
                options = dict(device=args.device, bf16=setting.bf16, threads=args.threads)
                baseline = measure_memory(group.baseline, INFERENCE if task == FUSED else task, batch_size, **options)
                for method, config in group.methods.items():
                    yield MemoryRow(method, task, group.backbone, batch_size, str(setting),
                                    measure_memory(config, task, batch_size, **options), baseline)


def _describe_run(args: argparse.Namespace, rounds: int, options: str = '') -> list[str]:
    batch_sizes = ' '.join(map(str, args.batch_sizes))
    machine = describe_processor(args.device)
    if hasattr(os, 'getloadavg'):
        machine += f'; load when the run began: {os.getloadavg()[0]:.1f}'
    return [
        f'{datetime.date.today()}: `clamp-mmpose bench --device {args.device} --threads {args.threads} '
        f'--repeats {rounds} --batch-sizes {batch_sizes}{options}`',
        machine,
        describe_versions(),
    ]


def _shipped_groups() -> list[Group]:
    folder = _configs_folder()
    return [Group(group.backbone, {method: str(folder / config) for method, config in group.methods.items()},
                  str(folder / group.baseline)) for group in GROUPS]


def _configs_folder() -> Path:
    """configs of the checkout this runs from, else of the installed package."""
    package = Path(__file__).resolve().parents[2]
    folder = package.parent / 'configs'
    return folder if folder.exists() else package / '.mim' / 'configs'
