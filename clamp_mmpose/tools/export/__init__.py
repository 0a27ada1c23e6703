"""`clamp-mmpose export`: a trained model as one ONNX file, compared with MMPose before it is kept."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = 'write a trained model as ONNX, with its text fused, and compare it with MMPose'
OUTPUTS = ('both', 'heatmaps', 'keypoints')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        'Writes a top-down model with a heatmap head as ONNX. The text of CLAMP and DenseCLIP is fused; what only '
        'trains is left out. Input: image (B, 3, H, W) in float32, RGB from 0 to 255, normalised inside. Outputs: '
        "heatmaps (B, K, h, w); keypoints (B, K, 2), x and y in pixels of the input, and scores (B, K), as MMPose's "
        'codec decodes them. B is free. The file holds names, sizes and provenance as metadata. onnxruntime runs it on '
        'pictures beside MMPose; above --atol nothing is written and the exit status is 1.')
    parser.add_argument('--config', required=True, metavar='CFG', help='config file')
    parser.add_argument('--checkpoint', required=True, metavar='PTH', help='trained weights')
    parser.add_argument('--out', required=True, type=Path, metavar='FILE', help='the ONNX file to write')
    parser.add_argument('--output', choices=OUTPUTS, default='both', help='what the graph gives (default: %(default)s)')
    parser.add_argument('--prompts', '--names', nargs='+', dest='prompts', metavar='NAME',
                        help="other keypoints to ask for, of a model with matching_only: nose 'left ear'")
    parser.add_argument('--flip-test', action='store_true',
                        help='average with the flipped picture, as test_cfg says; doubles the work')
    parser.add_argument('--images', nargs='+', default=[], metavar='FILE', help='pictures to compare on, too')
    parser.add_argument('--atol', type=float, default=1e-4, metavar='X',
                        help='largest difference of heatmaps, times their highest value where that is above 1 '
                        '(default: %(default)s)')
    parser.add_argument('--opset', type=int, default=17, metavar='N', help='default: %(default)s')
    parser.add_argument('--batch', type=int, default=2, metavar='N',
                        help='pictures to trace with; the graph takes any number (default: %(default)s)')
    parser.add_argument('--exporter', choices=('torchscript', 'dynamo'), default='torchscript',
                        help="of PyTorch; dynamo needs onnxscript (default: %(default)s)")
    parser.add_argument('--device', default='cpu', help='of PyTorch (default: %(default)s)')
    parser.add_argument('--force', action='store_true', help='write over a file that is there')


def run(args: argparse.Namespace) -> int:
    """Returns 0, 1 if onnxruntime and MMPose differ, or 2 after saying what is wrong."""
    import pickle
    try:
        _check_arguments(args)
        from .export import export
        return export(args)
    except (ValueError, OSError, RuntimeError, KeyError, AssertionError, ImportError, SyntaxError,
            pickle.UnpicklingError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f'clamp-mmpose export: error: {" ".join(str(message).split())[:600]}', file=sys.stderr)
        return 2


def _check_arguments(args: argparse.Namespace) -> None:
    import torch
    missing = [name for name in ('onnx', 'onnxruntime') if not _is_installed(name)]
    if args.exporter == 'dynamo' and not _is_installed('onnxscript'):
        missing.append('onnxscript')
    if missing:
        raise ValueError(f'this command needs {" and ".join(missing)}: pip install {" ".join(missing)}')
    if args.out.is_dir():
        raise ValueError(f'--out {args.out} is a folder; give the file to write')
    if args.out.exists() and not args.force:
        raise ValueError(f'--out {args.out} exists; --force writes over it')
    images = [('--images', path) for path in args.images]
    for option, path in (('--config', args.config), ('--checkpoint', args.checkpoint), *images):
        if '://' not in str(path) and not Path(path).is_file():
            raise ValueError(f'{option}: there is no file {path}')
    if args.batch < 1 or not args.atol > 0:
        raise ValueError(f'--batch {args.batch} must be 1 or more, and --atol {args.atol} above 0')
    if args.device.startswith('cuda') and not torch.cuda.is_available():
        raise ValueError(f'--device {args.device}: PyTorch finds no CUDA device; use --device cpu')


def _is_installed(package: str) -> bool:
    import importlib.util
    return importlib.util.find_spec(package) is not None
