"""The subcommand ``visualize``: figures of what a model sees, on validation images or on any others."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import DictAction

from .figures import FIGURES, choose_figures, load_figure, needs_model
from .subject import Subject

HELP = 'draw ground truth, prediction, score maps and the other figures of some images'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    width = max(map(len, FIGURES))
    parser.epilog = 'figures:\n' + '\n'.join(f'  {name:<{width}}  {load_figure(name).HELP}' for name in FIGURES)
    # With nargs='?' no option could stand between the two.
    parser.add_argument('config', metavar='CONFIG', help='config file').required = False
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='trained weights').required = False
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the pictures')
    parser.add_argument('--figure', nargs='+', metavar='NAME',
                        help='which of the figures below, or all (default: of poses, score-maps, captions and '
                        'response-maps what the model gives)')
    parser.add_argument('--num', type=int, metavar='N',
                        help='animals or people to draw (default: 4; with --images all of them)')
    parser.add_argument('--mean-over', type=int, default=64, metavar='N',
                        help='animals or people to measure for means: of similarity, prompts, prototypes and others '
                        '(default: %(default)s)')
    parser.add_argument('--keypoints', nargs='+', metavar='NAME',
                        help="whose maps, such as nose 'left eye' (default: five, spread over the body, or all)")
    parser.add_argument('--kpt-thr', type=float, default=0.3, metavar='SCORE',
                        help='predictions with a lower score are left out (default: %(default)s)')
    parser.add_argument('--ann', metavar='FILE', help='annotation file in place of that of the validation set')
    parser.add_argument('--images', nargs='+', metavar='PATH',
                        help='image files and folders, in place of the validation set')
    parser.add_argument('--boxes', nargs='+', metavar='JSON',
                        help="boxes of --images by file name: COCO annotations; COCO detections and the COCO file of "
                        "their images; or MegaDetector's output (default: each image is one box)")
    parser.add_argument('--device', default='cpu', help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='which of the images (default: %(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='changes to the config, as in mim')
    for name in FIGURES:
        load_figure(name).add_arguments(parser.add_argument_group(f'figure {name}'))


def run(args: argparse.Namespace) -> int:
    """Writes the pictures and prints their paths. Returns 0, or 2 after saying what is wrong."""
    try:
        for path in _draw(args):
            print(path, flush=True)
    except Exception as error:  # a config is a program and may raise anything
        told = isinstance(error, (ValueError, OSError, RuntimeError, AssertionError))  # MMPose asserts that files exist
        print(f'visualize: error: {"" if told else type(error).__name__ + ": "}{" ".join(str(error).split())}',
              file=sys.stderr)
        return 2
    return 0


def _draw(args: argparse.Namespace) -> Iterator[Path]:
    names = choose_figures(args.figure)
    if args.figure is None and args.config is None and args.runs:
        names = ['adaptation-curve']
    subject = None
    if any(needs_model(name) for name in names):
        if args.checkpoint is None:
            without = ' and '.join(name for name in FIGURES if not needs_model(name))
            raise ValueError(f'{"CHECKPOINT is" if args.config else "CONFIG and CHECKPOINT are"} missing; only '
                             f'--figure {without} does without')
        subject = Subject.load(args)
    figures = []
    for name in names:
        figure, given = load_figure(name), subject if needs_model(name) else args
        missing = figure.missing(given)
        if not missing:
            figures.append((figure, given))
        elif name in (args.figure or ()):
            raise ValueError(f'--figure {name} needs {missing}')
        elif args.figure:
            print(f'visualize: {name} is left out: it needs {missing}', file=sys.stderr)
    out = Path(args.out)
    for figure, given in figures:
        for name, content in figure.draw(given):
            out.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                (out / name).write_text(content, encoding='utf-8')
            elif content is not None:
                content.savefig(out / name, dpi=130)
            yield out / name
