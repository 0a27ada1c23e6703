from __future__ import annotations

import torch
from mmengine.model import BaseModule
from mmpose.registry import MODELS
from torch import Tensor
from torchvision.models.vgg import cfgs, make_layers

_STAGES = (4, 9, 16, 23, 30)  # behind the last ReLU of each of VGG-16's five stages


@MODELS.register_module()
class PerceptualLoss(BaseModule):
    """Difference of two images in the eyes of VGG-16: mean squares of the pixels and after each of its five stages.

    Each of the six is divided by its running mean, so that they count alike, and summed. As in TTP's public code, whose
    weight is 1e-3; MeTTA's supplement has no loss. Images are normalised as VGG's are (ImageNet's mean and deviation).

    Args:
        loss_weight: factor of the sum.
        momentum: of the running means, which only training moves.
        init_cfg: where VGG's weights come from, ``dict(type='Pretrained', checkpoint='torchvision://vgg16')`` or a
            file. None leaves them random, which measures little.
    """

    def __init__(self, *, loss_weight: float = 1e-3, momentum: float = 0.01, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.loss_weight = loss_weight
        self.momentum = momentum
        self.features = make_layers(cfgs['D'], batch_norm=False).requires_grad_(False)
        self.register_buffer('means', torch.ones(1 + len(_STAGES)))

    def forward(self, painted: Tensor, images: Tensor, *, update: bool = False) -> Tensor:
        """painted, images: (B, 3, H, W). Returns (B, ). ``update``: moves the running means."""
        terms = [(painted - images).square().mean((1, 2, 3))]
        start = 0
        for stop in _STAGES:
            painted, images = (self.features[start:stop](x) for x in (painted, images))
            terms.append((painted - images).square().mean((1, 2, 3)))
            start = stop
        terms = torch.stack(terms, 1)  # (B, 6)
        if update:
            with torch.no_grad():
                self.means.lerp_(terms.detach().mean(0).to(self.means), self.momentum)
        return self.loss_weight * (terms / self.means).sum(1)
