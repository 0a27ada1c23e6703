from __future__ import annotations

import torch
from torch import Tensor, nn

from .semantic_graph_conv import SemanticGraphConv

_WEIGHTINGS = {
    'mean': lambda maps: maps / maps.shape[-1],
    'sum': lambda maps: maps,
    'softmax': lambda maps: maps.softmax(-1),
}


class PosePrototypes(nn.Module):
    """What to look for, one vector per keypoint: of the image, and related along the skeleton (RePPG of LOFR).

    The image's vector of keypoint c is the sum over the cells of its map X' times the features, embedded by a 1x1
    convolution (Eq. 2). Graph convolutions with batch norm and ReLU (Eq. 10) are added to them, as a residual block of
    SemGCN.

    Args:
        num_layers: graph convolutions.
        weighting: of the cells in Eq. 2. 'sum' is as written, and grows with the map; 'mean' divides by the number of
            cells, 'softmax' weighs by the softmax of X' over them.
        embedding: a learned vector of each keypoint is its prototype, to which what the image and the graph say is
            added, with a factor for each channel that starts at 0.1 (LayerScale). Without it, and without pretrained
            weights, prototypes ask for much the same at first. Ours.
    """

    def __init__(self,
                 in_channels: int,
                 channels: int,
                 adjacency: Tensor,
                 *,
                 num_layers: int = 2,
                 weighting: str = 'mean',
                 embedding: bool = False) -> None:
        super().__init__()
        if weighting not in _WEIGHTINGS:
            raise ValueError(f"weighting='{weighting}' of reppg must be one of {sorted(_WEIGHTINGS)}")
        if num_layers < 1:
            raise ValueError(f'num_layers={num_layers} of reppg must be 1 or more; reppg=None leaves it out')
        self.embed = nn.Conv2d(in_channels, channels, 1)
        self.weigh = _WEIGHTINGS[weighting]
        self.embedding = self.scale = None
        if embedding:
            self.embedding = nn.Parameter(torch.randn(len(adjacency), channels))
            self.scale = nn.Parameter(torch.full((channels, ), 0.1))
        self.convs = nn.ModuleList(SemanticGraphConv(channels, channels, adjacency) for _ in range(num_layers))
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(num_layers))

    def forward(self, features: Tensor, maps: Tensor) -> Tensor:
        """features: (B, D_in, h, w); maps: X', (B, C, h, w); returns (B, C, D)."""
        vectors = x = self.keypoint_vectors(features, maps)
        if self.embedding is not None:
            vectors = x = vectors + self.embedding
        for conv, norm in zip(self.convs, self.norms):
            x = norm(conv(x).transpose(1, 2)).transpose(1, 2).relu()
        if self.embedding is None:
            return vectors + x
        return self.embedding + self.scale * (vectors + x)

    def keypoint_vectors(self, features: Tensor, maps: Tensor) -> Tensor:
        """F_c of Eq. 2, (B, C, D)."""
        return torch.einsum('bcn,bdn->bcd', self.weigh(maps.flatten(2)), self.embed(features).flatten(2))
