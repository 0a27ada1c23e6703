"""Fig. 2 and 3 of MeTTA's supplement: what the auxiliary network paints where the image is missing, from the pose and
without it."""
from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from mmpose.models.pose_estimators.base import BasePoseEstimator
from torch import Tensor

from ..models.layers.full_precision import full_precision
from ..models.layers.masks import central_patch, patch_masks
from ..models.layers.windowed_layers import Window

HIDDEN, WITH_POSE, WITHOUT_POSE, OTHER_POSE = 'mean colour', 'with pose', 'without pose', 'with another pose'
_REQUIRED = ('resize', 'self_supervised_heatmaps', 'inpainting', 'pixel_loss')


@dataclasses.dataclass(frozen=True)
class Painted:
    """An image (H, W, 3) whose patch has been filled, and how far that is from the true one: ``error``, the mean
    absolute difference of the picture's pixels, in levels of 0 to 255, and ``loss``, what the head trains with."""

    image: np.ndarray
    error: float
    loss: float


@dataclasses.dataclass(frozen=True)
class Inpainting:
    """One instance as the auxiliary task has it: ``image`` (H, W, 3) RGB; ``patches``: mask side -> the missing patch;
    ``painted``: mask side -> how it is filled -> the result; ``heatmaps``: how -> (M, h, w), the pose that the network
    is given, which is that of the whole image.

    It is filled with the mean colour (HIDDEN), by the network (WITH_POSE), and by the same network where zeros stand
    for the heatmaps (WITHOUT_POSE) or those of another instance (OTHER_POSE). It has never seen zeros in training, and
    may paint worse for that alone: a network that uses the pose paints worse with that of another instance too.
    """

    name: str
    image: np.ndarray
    heatmaps: dict[str, np.ndarray]
    patches: dict[float, Window]
    painted: dict[float, dict[str, Painted]]


def missing_for_inpainting(head: torch.nn.Module | None) -> list[str]:
    """What a head lacks to inpaint, in words; empty if nothing."""
    return [name for name in _REQUIRED if not hasattr(head, name)]


@torch.no_grad()
def inpaint_instance(model: BasePoseEstimator, dataset: BaseDataset, index: int, sides: Sequence[float], *,
                     other: int | None = None) -> Inpainting:
    """Hides a central patch of each of the ``sides``, shares of height and width, and lets the head paint it.

    ``other``: the instance whose pose is OTHER_POSE, which is left out for None.
    """
    head = model.head
    inputs, heatmaps, path = _prepare(model, dataset, index)
    poses = {WITH_POSE: heatmaps, WITHOUT_POSE: torch.zeros_like(heatmaps)}
    if other is not None:
        poses[OTHER_POSE] = _prepare(model, dataset, other)[1]
    image = head.resize(inputs)
    size = tuple(image.shape[-2:])
    patches = {side: central_patch(size, side) for side in sides}
    painted = {}
    for side, patch in patches.items():
        mask = patch_masks([patch], size, image)
        appearance = head.inpainting.encode_appearance(image, mask)
        fillings = {HIDDEN: torch.zeros_like(image)}
        fillings.update((kind, full_precision(head.inpainting(appearance, pose))) for kind, pose in poses.items())
        painted[side] = {kind: _paint(model, image, mask, patch, filling) for kind, filling in fillings.items()}
    return Inpainting(
        name=path.replace('\\', '/').rsplit('/', 1)[-1],
        image=to_picture(model, image[0]),
        heatmaps={kind: pose[0].float().cpu().numpy() for kind, pose in poses.items()},
        patches=patches,
        painted=painted)


def to_picture(model: BasePoseEstimator, image: Tensor) -> np.ndarray:
    """(H, W, 3) RGB in 0 to 255 of what the model's preprocessor made of a picture: image (3, H, W)."""
    preprocessor = model.data_preprocessor
    picture = image.permute(1, 2, 0).float().cpu().numpy()
    if getattr(preprocessor, 'mean', None) is not None:
        std = preprocessor.std.flatten().cpu().numpy()
        picture = picture * std + preprocessor.mean.flatten().cpu().numpy()
    # MMPose loads BGR.
    if not getattr(preprocessor, '_channel_conversion', False):
        picture = picture[..., ::-1]
    return np.ascontiguousarray(picture.clip(0, 255).round().astype(np.uint8))


def _prepare(model: BasePoseEstimator, dataset: BaseDataset, index: int) -> tuple[Tensor, Tensor, str]:
    """The input, the self-supervised heatmaps and the path of an instance."""
    batch = model.data_preprocessor(pseudo_collate([dataset[index]]), False)
    heatmaps = model.head.self_supervised_heatmaps(model.extract_feat(batch['inputs']))
    return batch['inputs'], heatmaps, str(batch['data_samples'][0].img_path)


def _paint(model: BasePoseEstimator, image: Tensor, mask: Tensor, patch: Window, filling: Tensor) -> Painted:
    picture = to_picture(model, torch.where(mask > 0, filling, image)[0])
    difference = picture.astype(float) - to_picture(model, image[0])
    error = np.abs(difference[patch.top:patch.bottom, patch.left:patch.right]).mean()
    return Painted(picture, float(error), float(model.head.pixel_loss(filling, image, mask)))
