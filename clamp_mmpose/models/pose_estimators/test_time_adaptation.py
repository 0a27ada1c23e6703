from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from mmpose.structures import PoseDataSample
from torch import Tensor

from ...engine.adaptation import AdaptationStep, adapt, adaptation_steps, check_steps, is_positive, snapshot
from ..heads.adaptable_head import AdaptableHead, loss_of_one_image, select

SCOPES = ('image', 'video', 'stream')
# A loss that rises by less has not risen: sums round differently in batches of other sizes.
_ROUNDING = 1e-5


class Adapted(NamedTuple):
    """The images of a batch after adaptation. ``params``: after each of the steps asked for, name -> (B, ...), the last
    of them to predict with; ``losses``: (B, steps + 1), None where nobody asked; ``guarded``: (B, )."""

    params: list[dict[str, Tensor]]
    losses: Tensor | None
    guarded: Tensor


class TestTimeAdaptation:
    """Adapts a head to the images of a test: how far, from where, and when an image is better left alone.

    Where the scope is one image, an image's result depends on no other. In a video or a stream each image starts from
    what the one before it has learned, in the order in which they come.

    Args:
        steps: of gradient descent per image.
        lr: their size; None takes the one that the model was trained with.
        scope: 'image' starts each image from the stored parameters, 'video' the first of each video, and 'stream' the
            very first.
        reset: for 'video', the key of the data samples' ``metainfo`` that tells videos apart; None takes the folder of
            ``img_path``. For 'stream', after how many images to start anew; None is never.
        guard: an image whose loss has not fallen, or is not finite, keeps the parameters that it started with.
        record: keeps the parameters after every step, and the losses.
    """

    __test__ = False  # pytest takes classes of such names for tests

    def __init__(self,
                 steps: int = 5,
                 *,
                 lr: float | None = None,
                 scope: str = 'image',
                 reset: str | int | None = None,
                 guard: bool = True,
                 record: bool = False) -> None:
        check_steps(steps)
        if lr is not None and not is_positive(lr):
            raise ValueError(f'lr={lr!r} must be greater than 0, or None for the one of the training')
        if scope not in SCOPES:
            raise ValueError(f"scope='{scope}' must be one of {list(SCOPES)}")
        allowed = dict(image=type(None), video=(str, type(None)), stream=(int, type(None)))[scope]
        if not isinstance(reset, allowed) or (isinstance(reset, int) and reset < 1):
            raise ValueError(f"reset={reset!r} does not go with scope='{scope}': a key of the metainfo goes with "
                             "'video', a number of images, 1 or more, with 'stream'")
        self.steps = steps
        self.lr = lr
        self.scope = scope
        self.reset = reset
        self.guard = guard
        self.record = record
        self.clear()

    def clear(self) -> None:
        """Forgets what was learned and counted."""
        self.images = self.guarded = 0
        self.seconds = 0.0
        self._carried: dict[str, Tensor] | None = None
        self._video: str | None = None

    def __call__(self, head: AdaptableHead, feats: tuple, images: Tensor, data_samples: Sequence[PoseDataSample],
                 lr: float | Mapping[str, Tensor], max_norm: float | None = None) -> Adapted:
        """``feats``: prepared for adaptation; ``lr``, ``max_norm``: of the training."""
        start = _now(images)
        descent = dict(lr=lr if self.lr is None else self.lr, steps=self.steps, max_norm=max_norm)
        loss_fn = loss_of_one_image(head)
        stored = head.adaptable_parameters()
        if self.scope == 'image':
            adapted = self._adapt(loss_fn, stored, feats, images, descent)
        else:
            adapted = _join([self._adapt_next(loss_fn, stored, feats, images, index, sample, descent)
                             for index, sample in enumerate(data_samples)])
        self.seconds += _now(images) - start
        self.images += len(images)
        self.guarded += int(adapted.guarded.sum())
        return adapted

    def _adapt(self, loss_fn, params: Mapping[str, Tensor], feats: tuple, images: Tensor, descent: dict) -> Adapted:
        if not (self.guard or self.record):
            adapted = adapt(loss_fn, params, feats, images, **descent)
            return Adapted([adapted], None, torch.zeros(len(images), dtype=torch.bool, device=images.device))
        kept, losses, first = [], [], None
        for step in adaptation_steps(loss_fn, params, feats, images, **descent):
            first = first or step
            losses.append(step.loss.detach())
            better = self._is_better(step, first)
            if self.record or len(losses) == self.steps + 1:
                kept.append(select(better, step.params, first.params))
        return Adapted(kept, torch.stack(losses, 1), ~better)

    def _is_better(self, step: AdaptationStep, first: AdaptationStep) -> Tensor:
        if not self.guard or step is first:
            return torch.ones_like(first.loss, dtype=torch.bool)
        return torch.isfinite(step.loss) & (step.loss <= first.loss + _ROUNDING * first.loss.abs())

    def _adapt_next(self, loss_fn, stored: Mapping[str, Tensor], feats: tuple, images: Tensor, index: int,
                    sample: PoseDataSample, descent: dict) -> Adapted:
        """One image, from where the one before it has come to."""
        if self._starts_anew(index, sample):
            self._carried = None
        one = [feat[index:index + 1] for feat in feats]
        one = type(feats)(*one) if hasattr(feats, '_fields') else tuple(one)
        adapted = self._adapt(loss_fn, self._carried or stored, one, images[index:index + 1], descent)
        self._carried = snapshot({name: value[0] for name, value in adapted.params[-1].items()})
        return adapted

    def _starts_anew(self, index: int, sample: PoseDataSample) -> bool:
        if self.scope == 'stream':
            return self.reset is not None and (self.images + index) % self.reset == 0
        if self.reset is not None and self.reset not in sample.metainfo:
            raise ValueError(f"reset='{self.reset}' is no key of the data samples' metainfo, which has "
                             f'{", ".join(sorted(sample.metainfo))}; name it in meta_keys of PackPoseInputs')
        if self.reset is None and 'img_path' not in sample.metainfo:
            raise ValueError("scope='video' tells videos apart by the folder of img_path, which the data samples do "
                             "not have; name another key of their metainfo as reset")
        video = str(Path(sample.img_path).parent) if self.reset is None else str(sample.metainfo[self.reset])
        last, self._video = self._video, video
        return last != video


def _join(results: Sequence[Adapted]) -> Adapted:
    steps = [{name: torch.cat([params[name] for params in same]) for name in same[0]}
             for same in zip(*(result.params for result in results))]
    losses = None if results[0].losses is None else torch.cat([result.losses for result in results])
    return Adapted(steps, losses, torch.cat([result.guarded for result in results]))


def _now(images: Tensor) -> float:
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    return time.perf_counter()
