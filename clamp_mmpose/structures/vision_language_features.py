from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor


class VisionLanguageFeatures(tuple):
    """Feature maps of a backbone or neck that may carry language-compatible extras.

    It is a plain tuple of (B, C_i, h_i, w_i) maps to whoever does not know it: indexing, iteration, ``len`` and
    ``feats[-1]`` behave as in any MMPose head, and slicing gives a plain tuple. The extras are tensors or None:

    - ``dense`` (B, D, h, w): the image embedding of every position;
    - ``pooled`` (B, D): the image embedding of the whole image;
    - ``text`` (B, K, D): the prompt embedding of every keypoint;
    - ``score_map`` (B, K, h, w): cosine similarity of ``dense`` and ``text``, in [-1, 1].
    """

    dense: Tensor | None
    pooled: Tensor | None
    text: Tensor | None
    score_map: Tensor | None

    def __new__(cls,
                maps: Iterable[Tensor],
                *,
                dense: Tensor | None = None,
                pooled: Tensor | None = None,
                text: Tensor | None = None,
                score_map: Tensor | None = None) -> VisionLanguageFeatures:
        self = super().__new__(cls, maps)
        self.dense = dense
        self.pooled = pooled
        self.text = text
        self.score_map = score_map
        return self

    def __reduce__(self):
        return _rebuild, (tuple(self), self.dense, self.pooled, self.text, self.score_map)


def _rebuild(maps, dense, pooled, text, score_map) -> VisionLanguageFeatures:
    return VisionLanguageFeatures(maps, dense=dense, pooled=pooled, text=text, score_map=score_map)
