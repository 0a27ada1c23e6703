from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ActivationMaps(nn.Module):
    """Classifies which keypoints are in the image, and shows where it sees them (Eq. 1 of LOFR).

    A 1x1 convolution turns the features into one map per keypoint, X'; their means go through a linear layer to the
    logits. The paper has a softmax behind it, which does not fit labels of which several are true at once: there is
    none here. Where the layer looks at cells in place of means, it gives the activation maps.

    ``features`` (B, D, h, w) give the logits (B, C), X' (B, C, h, w), and the activations (B, C, h, w), whose positive
    part is the paper's m_c. Without the ReLU they have a maximum in every image.
    """

    def __init__(self, in_channels: int, num_keypoints: int) -> None:
        super().__init__()
        self.to_keypoints = nn.Conv2d(in_channels, num_keypoints, 1)
        self.classifier = nn.Linear(num_keypoints, num_keypoints)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.to_keypoints(features)
        logits = self.classifier(maps.mean((2, 3)))
        return logits, maps, F.conv2d(maps, self.classifier.weight[..., None, None])
