"""What is measured: a config's model on one batch, predicting or taking a training step."""
from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from clamp_mmpose.testing import pack_batch

INFERENCE, FUSED, TRAINING = 'inference', 'inference, text fused', 'training step'


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a model runs: autocast to bfloat16, and ``torch.compile``."""

    bf16: bool = False
    compiled: bool = False

    def __str__(self) -> str:
        return ('bf16 autocast' if self.bf16 else 'float32') + (', compiled' if self.compiled else '')


class Subject:
    """The model of ``config`` with random weights, made ready for ``task``.

    A backbone of CLIP computes its embedding (attention pool, or norm and projection) whatever the config says, as
    SimpleBaseline's numbers in CLAMP's Table 7 have it. Steps begin with a normalised batch on the device and end with
    keypoints, or with the optimizer's step.
    """

    def __init__(self, config: str, task: str, device: str) -> None:
        init_default_scope('mmpose')
        torch.manual_seed(0)
        cfg = Config.fromfile(config)
        _drop_checkpoints(cfg.model)
        if 'with_embedding' in cfg.model.backbone:
            cfg.model.backbone.with_embedding = True
        self.model = MODELS.build(cfg.model)
        self.model.init_weights()
        self.model.to(device).train(task == TRAINING)
        self.codec = cfg.codec
        # A head may carry auxiliary losses.
        self.num_keypoints = cfg.model.head.get('head', cfg.model.head).out_channels
        self.device = torch.device(device)
        self.optim_wrapper = build_optim_wrapper(self.model, cfg.optim_wrapper) if task == TRAINING else None
        # MMPose decodes, and rates its accuracy, in NumPy, which has no bfloat16.
        self.model.head.final_layer.register_forward_hook(lambda module, inputs, heatmaps: heatmaps.float())
        if task == FUSED:
            self.model.neck.fuse_text()

    def step(self, batch_size: int, setting: Setting = Setting()) -> Callable[[], None]:
        """A call that predicts with flip test, or takes one training step, on a batch of random images."""
        batch = self.model.data_preprocessor(
            pack_batch(self.codec, self.num_keypoints, batch_size=batch_size), self.optim_wrapper is not None)
        forward = torch.compile(self.model) if setting.compiled else self.model

        def run(mode: str):
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=setting.bf16):
                return forward(**batch, mode=mode)

        @torch.no_grad()
        def predict() -> None:
            run('predict')

        def train() -> None:
            loss, _ = self.model.parse_losses(run('loss'))
            self.optim_wrapper.update_params(loss)

        return predict if self.optim_wrapper is None else train


def _drop_checkpoints(config: object) -> None:
    """Takes every ``init_cfg`` out of ``config``: speed does not depend on the weights."""
    if isinstance(config, dict):
        config.pop('init_cfg', None)
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for value in config:
            _drop_checkpoints(value)
