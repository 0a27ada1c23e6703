from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS
from PIL import Image

_FILTERS = dict(bilinear=Image.BILINEAR, bicubic=Image.BICUBIC)


@TRANSFORMS.register_module()
class WholeImageAffine(BaseTransform):
    """Resizes the whole image to the network's input, without keeping its aspect; the box of the person is not used.

    In place of ``TopdownAffine``, and in its pixel convention: what is at x lies at ``x * w / W`` of the input, picture
    and keypoints alike, which ``add_pred_to_datasample`` maps back exactly. Pixels are averaged when the image gets
    smaller, as in BLIP's own image processor, whose picture is this one moved by less than half a pixel of the input.

    Reads ``img`` and, if there, ``keypoints``; sets ``img``, ``transformed_keypoints``, ``input_size``,
    ``input_center`` and ``input_scale``.

    Args:
        input_size: (w, h) of the network's input.
        interpolation: 'bicubic', as BLIP's image processor, or 'bilinear'.
    """

    def __init__(self, input_size: Sequence[int], interpolation: str = 'bicubic') -> None:
        if len(input_size) != 2 or not all(isinstance(side, int) and side > 0 for side in input_size):
            raise ValueError(f'input_size={input_size} must be two whole numbers above 0: width and height')
        if interpolation not in _FILTERS:
            raise ValueError(f"interpolation={interpolation!r} must be 'bicubic' or 'bilinear'")
        self.input_size = tuple(input_size)
        self.interpolation = interpolation

    def transform(self, results: dict) -> dict:
        images = results['img']
        first = images[0] if isinstance(images, list) else images
        height, width = first.shape[:2]
        size = np.array([width, height], dtype=np.float32)
        results['img'] = [*map(self._resize, images)] if isinstance(images, list) else self._resize(images)
        if results.get('keypoints') is not None:
            results['transformed_keypoints'] = results['keypoints'].copy()
            results['transformed_keypoints'][..., :2] *= np.array(self.input_size) / size
        else:  # as TopdownAffine does, for the inferencer
            results['transformed_keypoints'] = np.zeros([])
            results['keypoints_visible'] = np.ones((1, 1, 1))
        results['input_size'] = self.input_size
        results['input_center'] = size / 2
        results['input_scale'] = size
        return results

    def _resize(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        (left, right), (top, bottom) = (_edges(side, new) for side, new in zip((width, height), self.input_size))
        # Pillow takes no box that reaches over the image.
        margin = math.ceil(max(-left, right - width, -top, bottom - height, 0))
        padded = cv2.copyMakeBorder(image, *[margin] * 4, cv2.BORDER_REPLICATE)
        box = (left + margin, top + margin, right + margin, bottom + margin)

        def resize(pixels):
            return np.array(Image.fromarray(pixels).resize(self.input_size, _FILTERS[self.interpolation], box))

        if image.dtype == np.uint8:
            return resize(padded)
        # Pillow has floating point pixels of one channel only.
        return np.dstack([*map(resize, cv2.split(padded.astype(np.float32)))]).reshape(
            *self.input_size[::-1], *image.shape[2:])

    def __repr__(self) -> str:
        return f'{type(self).__name__}(input_size={self.input_size}, interpolation={self.interpolation!r})'


def _edges(length: int, new: int) -> tuple[float, float]:
    """Where the outer edges of the first and last new pixel lie, if the centre of pixel 0 stays that of pixel 0.

    Positions count from the image's own edge, half a pixel before the centre of pixel 0.
    """
    step = length / new
    return 0.5 - step / 2, 0.5 - step / 2 + length
