from __future__ import annotations

import torch
from torch import Tensor, nn


class SemanticGraphConv(nn.Module):
    """Graph convolution whose edges have learnt weights (SemGCN; Eq. 10 of LOFR).

    As in the released SemGCN: one matrix for a node itself, one for its neighbours, and one logit per edge, itself
    included, that a softmax over the edges of each node normalises. Nodes without an edge between them do not see each
    other.

    ``x`` (B, C, D_in) gives (B, C, D_out). ``adjacency``: (C, C), as :func:`kinematic_adjacency` makes it.
    """

    def __init__(self, in_channels: int, out_channels: int, adjacency: Tensor) -> None:
        super().__init__()
        self.register_buffer('edges', adjacency > 0, persistent=False)
        self.weight = nn.Parameter(torch.empty(2, in_channels, out_channels))
        self.edge_logits = nn.Parameter(torch.ones(int(self.edges.sum())))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        for weight in self.weight:
            nn.init.xavier_uniform_(weight.data, gain=1.414)  # SemGCN's

    def forward(self, x: Tensor) -> Tensor:
        own, neighbours = x @ self.weight[0], x @ self.weight[1]
        relations = self.relations().to(own.dtype)
        itself = torch.eye(len(relations), dtype=relations.dtype, device=relations.device)  # diag has no ONNX
        return (relations * itself).sum(1, keepdim=True) * own + (relations * (1 - itself)) @ neighbours + self.bias

    def relations(self) -> Tensor:
        """(C, C): how much node i takes of node j; each row sums to 1."""
        logits = self.edge_logits.new_full(self.edges.shape, float('-inf'))
        return logits.masked_scatter(self.edges, self.edge_logits).softmax(-1)
