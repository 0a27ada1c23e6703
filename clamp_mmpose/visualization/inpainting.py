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

from ..models.layers.masks import central_patch, patch_masks
from ..models.layers.windowed_layers import Window

HIDDEN, WITH_POSE, WITHOUT_POSE = 'hidden', 'with pose', 'without pose'
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
    """One instance as the auxiliary task has it: ``image`` (H, W, 3) RGB; ``heatmaps`` (M, h, w) of the whole image;
    ``patches``: mask side -> the missing patch; ``painted``: mask side -> how it is filled -> the result.

    It is filled with the mean colour (HIDDEN), by the network (WITH_POSE), and by the same network where zeros stand
    for the heatmaps (WITHOUT_POSE), which it has never seen in training.
    """

    name: str
    image: np.ndarray
    heatmaps: np.ndarray
    patches: dict[float, Window]
    painted: dict[float, dict[str, Painted]]


def missing_for_inpainting(head: torch.nn.Module | None) -> list[str]:
    """What a head lacks to inpaint, in words; empty if nothing."""
    return [name for name in _REQUIRED if not hasattr(head, name)]


@torch.no_grad()
def inpaint_instance(model: BasePoseEstimator, dataset: BaseDataset, index: int,
                     sides: Sequence[float]) -> Inpainting:
    """Hides a central patch of each of the ``sides``, shares of height and width, and lets the head paint it."""
    batch = model.data_preprocessor(pseudo_collate([dataset[index]]), False)
    inputs, head = batch['inputs'], model.head
    heatmaps = head.self_supervised_heatmaps(model.extract_feat(inputs))
    image = head.resize(inputs)
    size = tuple(image.shape[-2:])
    patches = {side: central_patch(size, side) for side in sides}
    painted = {}
    for side, patch in patches.items():
        mask = patch_masks([patch], size, image)
        appearance = head.inpainting.encode_appearance(image, mask)
        fillings = {
            HIDDEN: torch.zeros_like(image),
            WITH_POSE: head.inpainting(appearance, heatmaps),
            WITHOUT_POSE: head.inpainting(appearance, torch.zeros_like(heatmaps)),
        }
        painted[side] = {name: _paint(model, image, mask, patch, filling) for name, filling in fillings.items()}
    path = batch['data_samples'][0].img_path
    return Inpainting(str(path).replace('\\', '/').rsplit('/', 1)[-1], to_picture(model, image[0]),
                      heatmaps[0].float().cpu().numpy(), patches, painted)


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


def _paint(model: BasePoseEstimator, image: Tensor, mask: Tensor, patch: Window, filling: Tensor) -> Painted:
    picture = to_picture(model, torch.where(mask > 0, filling, image)[0])
    difference = picture.astype(float) - to_picture(model, image[0])
    error = np.abs(difference[patch.top:patch.bottom, patch.left:patch.right]).mean()
    return Painted(picture, float(error), float(model.head.pixel_loss(filling, image, mask)))
