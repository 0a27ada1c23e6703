"""What adapting to each image costs (MeTTA), and what each way of saving gains, at full width with random weights."""
from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from torch.utils.flop_counter import FlopCounterMode

from clamp_mmpose.engine.adaptation import restore, snapshot
from clamp_mmpose.models.heads import MeTTAHead
from clamp_mmpose.testing import pack_batch

from .timing import Ratio, compare, interleave

STEPS = 5
ROUNDS = 3  # at most; one takes some 80 s on two cores


class Comparison(NamedTuple):
    """Two of a subject's calls, by their names."""

    what: str
    ours: str
    baseline: str


class Case(NamedTuple):
    """Images of ``size`` pixels on each side."""

    size: int
    num_keypoints: int
    comparisons: Sequence[Comparison]


class AdaptationRow(NamedTuple):
    """Times in seconds for the batch, medians; operations of one image, a multiplication and an addition are two."""

    what: str
    size: int
    batch_size: int
    ours: float
    baseline: float
    ratio: Ratio
    operations: int
    baseline_operations: int


_COST = [Comparison(f'{STEPS} steps over plain inference', 'adapted', 'plain'),
         Comparison('one image at a time over a batch', 'alone', 'adapted'),
         Comparison('a plain loop of autograd over a batch', 'loop', 'adapted')]
_SAVINGS = [
    Comparison('whole image over the window of its patch', 'whole', 'adapted'),
    Comparison('dense heatmaps over separable ones', 'dense', 'adapted'),
    Comparison('auxiliary task at half of width and height over full', 'half', 'adapted'),
]
_TRAINING = [Comparison('meta step of the second order over the first', 'second', 'first')]
# 13 keypoints are Penn Action's, 17 are Human3.6M's. Steps at 256x256 take four times as long.
CASES = (Case(128, 13, (*_COST, *_SAVINGS, *_TRAINING)), Case(256, 17, _COST[:2]))


class AdaptationSubject:
    """A ResNet-50 with MeTTA's head at the width of the supplement, for images of ``size`` pixels on each side.

    ``changes`` replace arguments of the model's config: ``backbone`` and ``head`` some of theirs.
    """

    def __init__(self, size: int, num_keypoints: int, device: str, *, backbone: dict | None = None,
                 head: dict | None = None) -> None:
        init_default_scope('mmpose')
        torch.manual_seed(0)
        self.codec = dict(type='MSRAHeatmap', input_size=(size, size), heatmap_size=(size // 4, size // 4), sigma=2)
        self.size = size
        self.num_keypoints = num_keypoints
        self.device = torch.device(device)
        self.config = dict(
            type='MeTTAPoseEstimator',
            data_preprocessor=dict(type='PoseDataPreprocessor', mean=[123.675, 116.28, 103.53],
                                   std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
            backbone=backbone or dict(type='ResNet', depth=50),
            head=dict(dict(type='MeTTAHead', in_channels=2048, out_channels=num_keypoints, decoder=self.codec),
                      **(head or {})),
            inner_loop=dict(steps=STEPS),
            test_cfg=dict(flip_test=False))

    def predictions(self, batch_size: int) -> dict[str, Callable[[], object]]:
        """Predicts a batch, from a normalised batch to keypoints, in each of the ways that are compared."""
        plain = self._build('joint').eval()
        model = self._build('test').eval()
        model.load_state_dict(plain.state_dict())
        batch = self._batch(plain, batch_size)
        images = [{key: values[index:index + 1] for key, values in batch.items()} for index in range(batch_size)]
        half = (self.size // 2, self.size // 2)

        @torch.no_grad()
        def predict(predictor: torch.nn.Module, *batches: dict) -> list:
            return [predictor(**one, mode='predict') for one in batches]

        def predict_with(**settings) -> list:
            with _set(model.head, **settings):
                return predict(model, batch)

        def predict_dense() -> list:
            with dense_heatmaps(model.head):
                return predict(model, batch)

        return dict(
            plain=lambda: predict(plain, batch),
            adapted=lambda: predict(model, batch),
            alone=lambda: predict(model, *images),
            loop=lambda: [adapt_in_a_loop(plain, image, model.rates()) for image in images],
            whole=lambda: predict_with(windowed=False),
            dense=predict_dense,
            half=lambda: predict_with(inpainting_size=half))

    def training_steps(self, batch_size: int) -> dict[str, Callable[[], None]]:
        """The loss of the meta stage and its gradients, for both orders."""
        model = self._build('meta').train()
        batch = self._batch(model, batch_size)

        def step(order: int) -> None:
            model.inner_loop = model.inner_loop._replace(order=order)
            model.zero_grad()
            loss, _ = model.parse_losses(model(**batch, mode='loss'))
            loss.backward()

        return dict(first=lambda: step(1), second=lambda: step(2))

    def _build(self, stage: str) -> torch.nn.Module:
        model = MODELS.build(dict(self.config, stage=stage))
        model.init_weights()
        return model.to(self.device)

    def _batch(self, model: torch.nn.Module, batch_size: int) -> dict:
        return model.data_preprocessor(
            pack_batch(self.codec, self.num_keypoints, batch_size=batch_size), model.training)


def time_adaptation(subject: AdaptationSubject, case: Case, *, repeats: int,
                    batch_size: int) -> Iterator[AdaptationRow]:
    """A row for each of the case's comparisons; all of its predictions take turns, and so do its training steps."""
    synchronize = torch.cuda.synchronize if subject.device.type == 'cuda' else None
    for make_calls in (subject.predictions, subject.training_steps):
        compared = _named_in(case.comparisons, make_calls(1))
        if not compared:
            continue
        operations = {name: count_operations(call) for name, call in compared.items()}
        seconds = interleave(_named_in(case.comparisons, make_calls(batch_size)), repeats, warm_up=1,
                             synchronize=synchronize)
        for what, ours, baseline in case.comparisons:
            if ours in seconds:
                yield AdaptationRow(what, subject.size, batch_size, statistics.median(seconds[ours]),
                                    statistics.median(seconds[baseline]), compare(seconds[ours], seconds[baseline]),
                                    operations[ours], operations[baseline])


def count_operations(call: Callable[[], object]) -> int:
    """Of convolutions and matrix products, by PyTorch's counter.

    Give it one image: it counts gradients of grouped convolutions, which several images with weights of their own make,
    too often.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def adapt_in_a_loop(model: torch.nn.Module, image: dict, lr: float) -> object:
    """Predicts one image as a loop of autograd does that knows nothing of the model: every step runs all of it, paints
    the whole image and differentiates with respect to every parameter."""
    params = model.head.adaptable_parameters()
    stored = snapshot(params)
    optimizer = torch.optim.SGD(params.values(), lr)
    with dense_heatmaps(model.head), _set(model.head, windowed=False):
        for _ in range(STEPS):
            model.zero_grad()
            model.head.adaptation_loss(model.extract_feat(image['inputs']), image['inputs']).sum().backward()
            optimizer.step()
    model.zero_grad()
    with torch.no_grad():
        prediction = model(**image, mode='predict')
    restore(params, stored)
    return prediction


@contextmanager
def dense_heatmaps(head: MeTTAHead) -> Iterator[None]:
    """The auxiliary network gets heatmaps that are written out."""
    forward = head.inpainting.forward
    with _set(head.inpainting,
              forward=lambda appearance, heatmaps, *window: forward(appearance, heatmaps.dense(), *window)):
        yield


@contextmanager
def _set(module: torch.nn.Module, **settings: object) -> Iterator[None]:
    before = {name: getattr(module, name) for name in settings}
    for name, value in settings.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def _named_in(comparisons: Sequence[Comparison], calls: Mapping[str, Callable]) -> dict[str, Callable]:
    names = {name for comparison in comparisons for name in (comparison.ours, comparison.baseline)}
    return {name: call for name, call in calls.items() if name in names}
