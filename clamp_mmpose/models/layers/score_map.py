import torch.nn.functional as F
from torch import Tensor

from .full_precision import full_precision


def compute_score_map(dense: Tensor, text: Tensor) -> Tensor:
    """Cosine similarity of every position with every prompt, Eq. 3 and 4 of CLAMP, without a temperature.

    ``dense`` (B, D, h, w) and ``text`` (B, K, D) give (B, K, h, w), in [-1, 1]. The norms are taken in full precision,
    where the guard against a zero vector does not underflow.
    """
    h, w = dense.shape[-2:]
    image = F.normalize(full_precision(dense), dim=1).to(dense.dtype).flatten(2)
    prompts = F.normalize(full_precision(text), dim=2).to(dense.dtype)
    scores = prompts @ image
    return scores.reshape(*scores.shape[:2], h, w)
