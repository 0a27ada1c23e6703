from __future__ import annotations

import argparse
import datetime
import json
import logging
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch
from mmengine.config import Config

from clamp_mmpose import __version__

from ..file_hash import hash_file
from .check import Difference, Session, compare
from .decoding import build_decoding
from .graph import PoseGraph, write_graph
from .subject import Prediction, Subject

_PLACES = ('x and y in pixels of the input image; in the photograph: x / input width * w + left edge of the padded '
           'box, y / input height * h + its upper edge')


def export(args: argparse.Namespace) -> int:
    """Writes the file and says what was compared. Returns 0, or 1 if onnxruntime and MMPose differ."""
    logging.disable(logging.WARNING)
    try:
        subject = Subject(args.config, args.checkpoint, names=args.prompts, flip_test=args.flip_test,
                          device=args.device)
    finally:
        logging.disable(logging.NOTSET)
    decoding = None if args.output == 'heatmaps' else build_decoding(subject.codec).to(args.device)
    batches = _make_batches(subject, args)
    # Before the model becomes a graph: by MMPose's own way, with the text tower.
    expected = [subject.predict(images) for images in batches]
    metadata = _describe(subject, args)
    graph = PoseGraph(subject.model, decoding, flip_test=subject.flip_test)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out.parent) as folder:
        whole, kept = Path(folder, 'whole.onnx'), Path(folder, 'kept.onnx')
        write_graph(graph, whole, size=tuple(subject.codec.input_size), batch=args.batch, opset=args.opset,
                    exporter=args.exporter)
        outputs = _run_graph(whole, batches)
        if not outputs or not _compare(outputs, expected, subject).passes(args.atol):
            print(f'clamp-mmpose export: the graph is not the model; {args.out} was not written', file=sys.stderr)
            return 1
        _finish(whole, kept, metadata, {name: value.shape[1:] for name, value in outputs[0].items()},
                drops='heatmaps' if args.output == 'keypoints' else None)
        _check_finished(kept, batches[0], outputs[0])
        kept.replace(args.out)
    print(f'written: {args.out}, {args.out.stat().st_size / 1e6:.1f} MB')
    return 0


def _make_batches(subject: Subject, args: argparse.Namespace) -> list[list[torch.Tensor]]:
    """Random pictures in as many sizes of batch as the traced one and others, then the given pictures one by one."""
    sizes = sorted({1, args.batch, args.batch + 1, 2 * args.batch + 3})
    batches = [subject.random_images(size, seed) for seed, size in enumerate(sizes)]
    return batches + [[subject.read_image(path)] for path in args.images]


def _run_graph(path: Path, batches: list[list[torch.Tensor]]) -> list[dict[str, np.ndarray]]:
    """The outputs of each batch; none, after saying why, if onnxruntime does not run the graph."""
    outputs = []
    try:
        session = Session(path)
        for images in batches:
            outputs.append(session.run(images))
    except Exception as error:  # onnxruntime has classes of its own, which derive from nothing else
        print(f'onnxruntime does not run the graph with batch {len(batches[len(outputs)])}: '
              f'{" ".join(str(error).split())[:300]}', file=sys.stderr)
        return []
    return outputs


def _compare(outputs: list[dict[str, np.ndarray]], expected: list[Prediction], subject: Subject) -> Difference:
    """Prints and returns the largest differences."""
    largest = Difference.largest([compare(*pair, subject.codec) for pair in zip(outputs, expected)])
    counts = [len(prediction.heatmaps) for prediction in expected]
    print(f'onnxruntime beside MMPose, {sum(counts)} pictures in batches of {", ".join(map(str, sorted({*counts})))}:')
    print(f'  heatmaps: largest difference {largest.heatmaps:.1e}, highest value {largest.highest:.2g}')
    if largest.total:
        print(f'  keypoints: largest difference {largest.keypoints:.1e} pixels over '
              f'{largest.total - largest.undecided} of {largest.total}')
    if largest.undecided:
        print(f"  {largest.undecided} are left out, where noise of 1e-4 moves the codec's own keypoint: a tie or a "
              'flat map')
    return largest


def _describe(subject: Subject, args: argparse.Namespace) -> dict[str, str]:
    """What a reader of the file needs, as ONNX metadata: strings, JSON where there is more than one value."""
    preprocessor = subject.model.data_preprocessor
    normalizes = preprocessor._enable_normalize
    head = subject.config.model.head
    codec = head.get('head', head).get('decoder')
    metadata = dict(
        keypoint_names=subject.names,
        input_size=list(subject.codec.input_size),
        input_layout='image: (B, 3, H, W), float32, RGB, 0 to 255; normalised inside the graph',
        mean=preprocessor.mean.flatten().tolist() if normalizes else [0.0, 0.0, 0.0],
        std=preprocessor.std.flatten().tolist() if normalizes else [1.0, 1.0, 1.0],
        codec=dict(codec),
        keypoints=_PLACES if args.output != 'heatmaps' else 'to be decoded by the codec',
        box=_describe_box(subject.config),
        flip_test=args.flip_test,
        config=Path(args.config).name,
        checkpoint=Path(args.checkpoint).name,
        checkpoint_sha256=hash_file(args.checkpoint) if Path(args.checkpoint).is_file() else 'unknown',
        date=str(datetime.date.today()),
        versions={'clamp-mmpose': __version__, **{name: version(name) for name in ('torch', 'mmpose', 'onnx')}},
        license="clamp-mmpose is Apache-2.0; the weights are under the terms of what they were trained from")
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}


def _describe_box(config: Config) -> dict:
    """How the test pipeline cuts the input out of a photograph; empty where it has none."""
    pipeline = config.get('test_dataloader', {}).get('dataset', {}).get('pipeline', [])
    steps = {str(step['type']).split('.')[-1]: step for step in pipeline}
    if not {'GetBBoxCenterScale', 'TopdownAffine'} <= {*steps}:
        return {}
    return dict(
        padding=steps['GetBBoxCenterScale'].get('padding', 1.25),
        use_udp=steps['TopdownAffine'].get('use_udp', False),
        shape='widened or heightened to that of the input around its centre, after padding')


def _finish(whole: Path, kept: Path, metadata: dict[str, str], sizes: dict[str, tuple[int, ...]], *,
            drops: str | None) -> None:
    """``sizes``: those of each output, behind the number of pictures, which the exporter does not know of all."""
    model = onnx.load(whole)
    onnx.helper.set_model_props(model, metadata)
    for output in model.graph.output:
        for dimension, size in zip(output.type.tensor_type.shape.dim[1:], sizes[output.name]):
            dimension.dim_value = size
    remaining = [output for output in model.graph.output if output.name != drops]
    del model.graph.output[:]
    model.graph.output.extend(remaining)
    onnx.checker.check_model(model)
    onnx.save(model, kept)


def _check_finished(path: Path, images: list[torch.Tensor], compared: dict[str, np.ndarray]) -> None:
    outputs = Session(path).run(images)
    changed = [name for name in outputs if not np.allclose(outputs[name], compared[name], rtol=1e-5, atol=1e-5)]
    if changed:
        raise RuntimeError(f'the finished graph gives other {", ".join(changed)} than the one that was compared')
