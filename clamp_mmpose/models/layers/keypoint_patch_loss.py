from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class KeypointPatchLoss(nn.Module):
    """Which patch of the image has the keypoint: cross-entropy over the patches, for each keypoint.

    A loss for the image tower alone, beside that of the captions, for models without pretrained weights. Ours: the
    paper has none.

    channels: C, of the image tower's tokens. num_keypoints: K. grid: columns and rows of patches. input_size: width and
    height in pixels.
    """

    def __init__(self, channels: int, num_keypoints: int, *, grid: tuple[int, int],
                 input_size: tuple[int, int]) -> None:
        super().__init__()
        self.grid, self.input_size = grid, input_size
        self.layer = nn.Linear(channels, num_keypoints)

    def forward(self, image: Tensor, keypoints: Tensor, labelled: Tensor) -> Tensor:
        """image: (B, 1 + patches, C), the class token first. keypoints: (B, K, 2), in input pixels; labelled: (B, K).

        0 where nothing is labelled.
        """
        x, y = ((keypoints[..., axis] * cells / side).long().clamp(0, cells - 1)
                for axis, (cells, side) in enumerate(zip(self.grid, self.input_size)))
        logits = self.layer(image[:, 1:]).float().transpose(1, 2)  # (B, K, patches)
        entropy = F.cross_entropy(logits.flatten(0, 1), (y * self.grid[0] + x).flatten(), reduction='none')
        labelled = labelled.flatten().to(entropy.dtype)
        return (entropy * labelled).sum() / labelled.sum().clamp(min=1)
