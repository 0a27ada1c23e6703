"""The module that becomes the graph, and how it is written."""
from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.models.utils.tta import flip_heatmaps
from torch import Tensor, nn

from clamp_mmpose.models.necks.language_neck import LanguageNeck

EXPORTERS = ('torchscript', 'dynamo')


class PoseGraph(nn.Module):
    """Pictures (B, 3, H, W), RGB from 0 to 255, to heatmaps (B, K, H, W), and with ``decoding`` keypoints and scores.

    The text of a neck with language is a constant from here on. ``model`` is used up.

    Args:
        decoding: made by ``build_decoding``, or None.
        flip_test: settings of the flip test, as in MMPose's ``test_cfg``, with ``flip_indices``; None makes none.
    """

    def __init__(self, model: TopdownPoseEstimator, decoding: nn.Module | None, *, flip_test: dict | None) -> None:
        super().__init__()
        preprocessor = model.data_preprocessor
        # MMPose loads BGR, and the model wants RGB where it converts.
        self.swaps_channels = not preprocessor._channel_conversion
        normalizes = preprocessor._enable_normalize
        self.register_buffer('mean', preprocessor.mean.clone() if normalizes else torch.zeros(3, 1, 1))
        self.register_buffer('std', preprocessor.std.clone() if normalizes else torch.ones(3, 1, 1))
        if isinstance(getattr(model, 'neck', None), LanguageNeck):
            _make_text_constant(model.neck)
        self.model = model
        self.decoding = decoding
        self.flip_test = flip_test
        self.eval()

    @property
    def output_names(self) -> list[str]:
        return ['heatmaps'] if self.decoding is None else ['heatmaps', 'keypoints', 'scores']

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = image.flip(1) if self.swaps_channels else image
        x = (x - self.mean) / self.std
        heatmaps = self._heatmaps(x)
        if self.flip_test is not None:
            heatmaps = 0.5 * (heatmaps + self._flipped_back(self._heatmaps(x.flip(-1))))
        return (heatmaps, ) if self.decoding is None else (heatmaps, *self.decoding(heatmaps))

    def _heatmaps(self, x: Tensor) -> Tensor:
        return self.model.head(self.model.extract_feat(x))

    def _flipped_back(self, heatmaps: Tensor) -> Tensor:
        settings = self.flip_test
        heatmaps = flip_heatmaps(heatmaps, settings['flip_indices'], settings.get('flip_mode', 'heatmap'), False)
        if settings.get('shift_heatmap', False):
            heatmaps = torch.cat([heatmaps[..., :1], heatmaps[..., :-1]], dim=-1)
        return heatmaps


def write_graph(graph: PoseGraph, path: Path, *, size: tuple[int, int], batch: int, opset: int, exporter: str) -> None:
    """Writes ``graph`` as ONNX for pictures of ``size`` (W, H) and any number of them; ``batch`` are traced.

    The exporter 'torchscript' needs no further package and is PyTorch's older one; 'dynamo' needs onnxscript.
    """
    device = graph.mean.device
    image = torch.full((batch, 3, size[1], size[0]), 127.0, device=device)
    settings = dict(input_names=['image'], output_names=graph.output_names, opset_version=opset)
    if exporter == 'dynamo':
        settings.update(dynamo=True, external_data=False, dynamic_shapes=dict(image={0: torch.export.Dim('batch')}))
    else:
        if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
            settings['dynamo'] = False
        settings['dynamic_axes'] = {name: {0: 'batch'} for name in ('image', *graph.output_names)}
    with torch.no_grad(), _without_fast_attention(), warnings.catch_warnings(), _silence():
        warnings.simplefilter('ignore')  # of sizes that become constants, as they should
        try:
            torch.onnx.export(graph, (image, ), str(path), **settings)
        except Exception as error:
            reason = ' '.join(str(error).split())[:300]
            raise ValueError(f"PyTorch's exporter '{exporter}' cannot write this model with --opset {opset}: "
                             f'{reason}') from error


def _make_text_constant(neck: LanguageNeck) -> None:
    neck.fuse_text()
    with torch.no_grad():
        text = neck.encode_text().detach().clone()
    neck.encode_text = lambda: text


@contextmanager
def _silence() -> Iterator[None]:
    """Of what fails, PyTorch prints the whole graph past Python's own streams; the exception says enough."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    with open(os.devnull, 'w') as nowhere:
        for number in kept:
            os.dup2(nowhere.fileno(), number)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)


@contextmanager
def _without_fast_attention() -> Iterator[None]:
    """PyTorch's fused attention for inference is one operator, which ONNX does not know."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
