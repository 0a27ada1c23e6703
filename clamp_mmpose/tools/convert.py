"""The subcommand ``convert``."""
from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mmengine.config import Config, DictAction
from torch import nn

from ..checkpoint.conversion_report import ConversionReport
from .file_hash import hash_file

HELP = "turn a checkpoint of CLAMP's or DenseCLIP's authors into one for a config of this package"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('source', metavar='IN', help="the authors' checkpoint")
    parser.add_argument('out', metavar='OUT', help='the checkpoint to write')
    parser.add_argument('--config', required=True, metavar='CFG', help='config of the model, such as '
                        'configs/clamp/clamp_vit-b16-released_4xb32-210e_ap10k-256x256.py')
    parser.add_argument('--force', action='store_true', help='overwrite OUT')
    parser.add_argument('--every-key', action='store_true', help='report every tensor on a line of its own')
    parser.add_argument('--ignore', nargs='+', default=[], metavar='PREFIX',
                        help='tensors of IN to leave out, by the beginning of their names')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='changes to the config, as in mim')


def run(args: argparse.Namespace) -> int:
    """Writes OUT and prints what became of every tensor. Returns 0, or 2 after saying what is wrong."""
    try:
        report = _convert(args)
    except Exception as error:  # a config is a program and may raise anything
        message = ' '.join(str(error).split()) or type(error).__name__
        if isinstance(error, SyntaxError):
            message = f'--config {args.config}: {message}'
        print(f'convert: error: {message}', file=sys.stderr)
        return 2
    for line in report.lines(every=args.every_key):
        print(line)
    for warning in report.warnings:
        print(f'convert: warning: {warning}', file=sys.stderr)
    print(f'{args.out}: written, and loaded into the model of {args.config}')
    return 0


def _convert(args: argparse.Namespace) -> ConversionReport:
    from ..checkpoint import register_safe_loading
    from ..checkpoint.released_conversion import convert_released
    from ..checkpoint.released_file import read_released_file
    source, out = Path(args.source).expanduser(), Path(args.out).expanduser()
    if out.exists() and source.exists() and out.samefile(source):
        raise ValueError(f'OUT is IN, {source}; give another name')
    if out.is_dir():
        raise ValueError(f'OUT, {out}, is a folder; give the name of a file')
    if out.exists() and not args.force:
        raise ValueError(f'{out} exists; --force overwrites it')
    register_safe_loading()
    file = read_released_file(source)
    config = _read_config(args)
    model = _build_model(config)
    conversion = convert_released(file, model, ignore=tuple(args.ignore))
    meta = dict(
        converted_from=source.name,
        converted_from_sha256=hash_file(source),
        config=config.filename,
        cfg=config.pretty_text,
        dataset_meta=_dataset_meta(config))
    _write(out, dict(meta=meta, state_dict=conversion.state_dict), model, set(conversion.report.missing))
    return conversion.report


def _read_config(args: argparse.Namespace) -> Config:
    config = Config.fromfile(args.config)
    if args.cfg_options:
        config.merge_from_dict(args.cfg_options)
    if 'model' not in config:
        raise ValueError(f'--config {args.config} has no model')
    return config


def _build_model(config: Config) -> nn.Module:
    """The model of a config of MMPose or MMDetection, without the weights of its ``init_cfg``."""
    from mmengine.registry import MODELS, init_default_scope
    from mmengine.runner.utils import set_random_seed
    set_random_seed(0)
    init_default_scope(config.get('default_scope', 'mmpose'))
    return MODELS.build(config.model)


def _dataset_meta(config: Config) -> dict | None:
    """What a trained checkpoint says of its dataset: keypoints and flips, or classes. Needs no data."""
    from mmengine.registry import DATASETS
    dataset = config.get('train_dataloader', {}).get('dataset', {})
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    with DATASETS.switch_scope_and_registry(None) as registry:  # of MMPose or MMDetection
        cls = registry.get(dataset.get('type', ''))
    if cls is None:
        return None
    metainfo = {**getattr(cls, 'METAINFO', {}), **(dataset.get('metainfo') or {})}
    if config.get('default_scope', 'mmpose') == 'mmpose' and metainfo:
        from mmpose.datasets.datasets.utils import parse_pose_metainfo
        metainfo = parse_pose_metainfo(metainfo)
    return metainfo or None


def _write(out: Path, checkpoint: dict, model: nn.Module, missing: set[str]) -> None:
    """Writes beside OUT, loads that into the model, and gives it its name only if every weight arrived."""
    import torch

    from ..checkpoint.safe_loading import safe_load
    if checkpoint['meta']['dataset_meta'] is None:
        del checkpoint['meta']['dataset_meta']
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f'.{out.name}.{os.getpid()}.part')
    try:
        torch.save(checkpoint, part)
        loaded = safe_load(part, 'cpu', mmap=True)['state_dict']
        found = model.load_state_dict(loaded, strict=False)
        if found.unexpected_keys or set(found.missing_keys) - missing:
            raise RuntimeError(f'{out} is not written: the model would not find {found.missing_keys} in it, and has no '
                               f'place for {found.unexpected_keys}')
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
