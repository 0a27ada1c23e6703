from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmpose.models.heads import HeatmapHead
from mmpose.registry import MODELS
from mmpose.utils.typing import Features
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ..layers import HeatmapBottleneck, InpaintingNetwork, full_precision
from ..layers.folded_norms import fold_norms
from ..layers.inpainting_network import check_inpainting_size
from ..layers.masks import central_patch, masked_loss, patch_masks, random_patches
from ..layers.separable_maps import SeparableMaps

_LOSSES = dict(l1=masked_loss, mse=partial(masked_loss, squared=True))

_COMPUTED_ONCE = ('deconv_layers', 'inpainting.appearance_encoder')


class PreparedFeatures(NamedTuple):
    """What does not change while the head adapts: ``features`` (B, C, h, w) in front of the adaptable block, and
    ``appearance`` (B, C, H / 8, W / 8) of the images whose central patch is missing."""

    features: Tensor
    appearance: Tensor


@MODELS.register_module()
class MeTTAHead(HeatmapHead):
    """MMPose's heatmap head with a self-supervised task by which it adapts to an image: body-specific inpainting.

    ``deconv_layers`` upsample the features; ``conv_layers`` are the adaptable block, shared by both tasks.
    ``self_supervised_layer`` and the heatmap bottleneck make of it the self-supervised heatmaps (Eq. 1, 2), which
    ``final_layer`` reads beside the block's features to predict, and from which the auxiliary network ``inpainting``
    paints a patch that is missing from the image (A.2). So the auxiliary loss reaches the block through those heatmaps
    alone, and a step that lowers it moves the prediction. ``loss`` is the supervised loss of the parent;
    :class:`MeTTAPoseEstimator` adds the auxiliary one and adapts.

    The supplement gives the task, the bottleneck and the auxiliary network. The split into frozen and adaptable layers,
    the sizes of the patch, the loss of its pixels and sigma are ours (sigma and the block's width after TTP's code).

    Args:
        in_channels, out_channels, deconv_out_channels, loss, decoder and further arguments: as in :class:`HeatmapHead`.
        conv_out_channels, conv_kernel_sizes: of the adaptable block.
        num_maps: self-supervised heatmaps; None is one per keypoint. TTP has 30.
        sigma: of the bottleneck's Gaussians, in cells of the heatmap.
        inpainting: further arguments of :class:`InpaintingNetwork`.
        inpainting_size: (W, H), multiples of 8, that images are resized to for the auxiliary task alone; None leaves
            them as they are. Half of the width and height is a quarter of the cost of a step.
        mask_side: share of height and width of the central patch that adaptation paints.
        random_mask_sides: the smallest and largest share for the patches of the joint stage, anywhere in the image.
        inpainting_loss: 'mse' or 'l1', the mean over the missing pixels of the normalised image. The slopes of 'l1' do
            not tell how far a pixel is off, so that the second order of a meta stage hardly reaches ``inpainting``.
        perceptual_loss: config of :class:`PerceptualLoss`, added for the image with its painted patch; None for none.
        adaptable: the modules of the head whose parameters adapt. Those of norms adapt only where the norm itself is
            named, such as 'conv_layers.1'.
        windowed: computes, where the patch is known, no more of the painted image than the patch needs. Values and
            gradients are the same.
    """

    frozen_modules = ('deconv_layers', )
    auxiliary_modules = ('inpainting', )

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 *,
                 conv_out_channels: Sequence[int] = (256, 256),
                 conv_kernel_sizes: Sequence[int] = (3, 3),
                 num_maps: int | None = None,
                 sigma: float = 2.0,
                 inpainting: dict | None = None,
                 inpainting_size: tuple[int, int] | None = None,
                 mask_side: float = 0.5,
                 random_mask_sides: tuple[float, float] = (0.3, 0.7),
                 inpainting_loss: str = 'mse',
                 perceptual_loss: dict | None = None,
                 adaptable: Sequence[str] = ('conv_layers', 'self_supervised_layer'),
                 windowed: bool = True,
                 **kwargs) -> None:
        num_maps = num_maps or out_channels
        if not conv_out_channels:
            raise ValueError(f'conv_out_channels={conv_out_channels} must name a layer: they are the adaptable block')
        if inpainting_loss not in _LOSSES:
            raise ValueError(f"inpainting_loss='{inpainting_loss}' must be one of {sorted(_LOSSES)}")
        channels = conv_out_channels[-1]
        super().__init__(
            in_channels,
            out_channels,
            conv_out_channels=conv_out_channels,
            conv_kernel_sizes=conv_kernel_sizes,
            final_layer=dict(in_channels=channels + num_maps, kernel_size=1),
            **kwargs)
        # A softmax over the map takes a bias out again.
        self.self_supervised_layer = nn.Conv2d(channels, num_maps, 1, bias=False)
        self.bottleneck = HeatmapBottleneck(sigma)
        self.inpainting = InpaintingNetwork(num_maps, **(inpainting or {}))
        self.inpainting_size = None if inpainting_size is None else check_inpainting_size(inpainting_size)
        self.mask_side = mask_side
        self.random_mask_sides = tuple(random_mask_sides)
        self.pixel_loss = _LOSSES[inpainting_loss]
        self.perceptual_loss = None if perceptual_loss is None else MODELS.build(perceptual_loss)
        self.adaptable = tuple(adaptable)
        self.windowed = windowed
        for name, sides in (('mask_side', (mask_side, )), ('random_mask_sides', self.random_mask_sides)):
            if not all(0 < side <= 1 for side in sides):
                raise ValueError(f'{name}={getattr(self, name)} must be greater than 0 and at most 1, the whole image')
        self._check_adaptable()

    @property
    def default_init_cfg(self) -> list[dict]:
        normal, constant = super().default_init_cfg
        # Maps of nearly zero have no peak that the auxiliary loss could move.
        return [dict(normal, override=dict(type='Kaiming', name='self_supervised_layer')), constant]

    def forward(self, feats: Features) -> Tensor:
        return self._predict(*self._pose(self._frozen(feats)))

    def forward_and_auxiliary_loss(self, feats: Features, images: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`forward` and :meth:`auxiliary_loss`, which have all layers up to the heatmaps in common."""
        features, heatmaps = self._pose(self._frozen(feats))
        return self._predict(features, heatmaps), self._random_patch_loss(heatmaps, images)

    def self_supervised_heatmaps(self, feats: Features) -> Tensor:
        """(B, M, h, w): what the auxiliary network sees of the pose."""
        return self._pose(self._frozen(feats))[1].dense()

    def inpaint(self, feats: Features, images: Tensor, mask: Tensor) -> Tensor:
        """(B, 3, H, W): the images as painted from the heatmaps and from what ``mask`` (B or 1, 1, H, W) leaves, which
        is where it is 0. images: (B, 3, H, W), normalised, of the size in which the head inpaints."""
        return self._paint(self._pose(self._frozen(feats))[1], images, mask)

    def resize(self, images: Tensor) -> Tensor:
        """(B, 3, H, W): images as the auxiliary task has them."""
        if self.inpainting_size is None or tuple(images.shape[-2:]) == self.inpainting_size[::-1]:
            return images
        return F.interpolate(images, self.inpainting_size[::-1], mode='bilinear', antialias=True)

    def auxiliary_loss(self, feats: Features, images: Tensor) -> Tensor:
        """(B, ): the loss of a patch of random size and place in each image, for the joint stage."""
        return self._random_patch_loss(self._pose(self._frozen(feats))[1], images)

    def adaptable_parameters(self) -> dict[str, Tensor]:
        norms = {name for name, module in self.named_modules()
                 if isinstance(module, (_NormBase, nn.GroupNorm, nn.LayerNorm))}
        return {
            name: parameter for name, parameter in self.named_parameters()
            if any(name.startswith(f'{module}.') for module in self.adaptable) and
            (name.rpartition('.')[0] not in norms or name.rpartition('.')[0] in self.adaptable)
        }

    def prepare_adaptation(self, feats: Features, images: Tensor) -> PreparedFeatures:
        images = self.resize(images)
        size = tuple(images.shape[-2:])
        mask = patch_masks([central_patch(size, self.mask_side)], size, images)
        return PreparedFeatures(self._frozen(feats), self.inpainting.encode_appearance(images, mask))

    def adaptation_loss(self, feats: Features, images: Tensor) -> Tensor:
        """(B, ): the loss of the central patch."""
        if not isinstance(feats, PreparedFeatures):
            feats = self.prepare_adaptation(feats, images)
        images = self.resize(images)
        heatmaps = self._pose(feats.features)[1]
        patch = central_patch(tuple(images.shape[-2:]), self.mask_side)
        if self.windowed:
            painted = self.inpainting(feats.appearance, heatmaps, patch)
        else:
            painted = patch.crop(self.inpainting(feats.appearance, heatmaps))
        painted, missing = full_precision(painted), patch.crop(images)
        loss = self.pixel_loss(painted, missing)
        if self.perceptual_loss is not None:
            H, W = images.shape[-2:]
            margin = (patch.left, W - patch.right, patch.top, H - patch.bottom)
            loss = loss + self.perceptual_loss(images + F.pad(painted - missing, margin), images)
        return loss

    def _frozen(self, feats: Features) -> Tensor:
        return feats.features if isinstance(feats, PreparedFeatures) else self.deconv_layers(feats[-1])

    def _pose(self, features: Tensor) -> tuple[Tensor, SeparableMaps]:
        """The block's features and the self-supervised heatmaps."""
        for layer in fold_norms(self.conv_layers):
            features = layer(features)
        return features, self.bottleneck.separable(self.self_supervised_layer(features))

    def _predict(self, features: Tensor, heatmaps: SeparableMaps) -> Tensor:
        # MMPose takes them to NumPy, for the accuracy and to decode, and NumPy knows no bfloat16.
        return full_precision(self.final_layer(torch.cat([features, heatmaps.dense().to(features.dtype)], 1)))

    def _paint(self, heatmaps: SeparableMaps, images: Tensor, mask: Tensor) -> Tensor:
        return self.inpainting(self.inpainting.encode_appearance(images, mask), heatmaps)

    def _random_patch_loss(self, heatmaps: SeparableMaps, images: Tensor) -> Tensor:
        images = self.resize(images)
        size = tuple(images.shape[-2:])
        mask = patch_masks(random_patches(len(images), size, self.random_mask_sides), size, images)
        painted = full_precision(self._paint(heatmaps, images, mask))
        loss = self.pixel_loss(painted, images, mask)
        if self.perceptual_loss is not None:
            loss = loss + self.perceptual_loss(torch.where(mask > 0, painted, images), images, update=self.training)
        return loss

    def _check_adaptable(self) -> None:
        modules = dict(self.named_modules())
        for name in self.adaptable:
            if name not in modules or name == '':
                raise ValueError(f"adaptable has '{name}', which is no module of the head; it has "
                                 f"{', '.join(name for name, _ in self.named_children())}")
            if any(f'{name}.'.startswith(f'{fixed}.') or fixed.startswith(f'{name}.') for fixed in _COMPUTED_ONCE):
                raise ValueError(f"adaptable has '{name}', but the output of {' and '.join(_COMPUTED_ONCE)} is "
                                 'computed once for all steps')
        if not self.adaptable_parameters():
            raise ValueError(f'adaptable={list(self.adaptable)} holds no parameter to adapt')
