"""Fig. 3 of CLAMP: does the image at a keypoint look most like the keypoint's own prompt?"""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmengine.dataset import BaseDataset, pseudo_collate
from mmpose.models.pose_estimators.base import BasePoseEstimator

from ..models.layers import full_precision, sample_bilinear
from ..models.layers.gaussian_target import packed_keypoints

# What is shown -> how it is called under the figure.
SIMILARITIES = dict(
    logits='exp(logit scale) x cosine of keypoint feature and prompt (Eq. 7)',
    cosine='cosine of keypoint feature and prompt',
    softmax='softmax over the prompts of exp(logit scale) x cosine (Eq. 7)',
)


def choose_similarity(model: BasePoseEstimator, wanted: str | None = None) -> str:
    """``wanted``, a key of SIMILARITIES; if None, 'logits' where the model has a feature loss with a scale to apply.

    Raises ValueError where the model cannot give it.
    """
    if wanted is None:
        return 'cosine' if _logit_scale(model) is None else 'logits'
    if wanted not in SIMILARITIES:
        raise ValueError(f"similarity='{wanted}' must be one of {', '.join(SIMILARITIES)}")
    if wanted != 'cosine' and _logit_scale(model) is None:
        raise ValueError(f"similarity='{wanted}' needs the logit scale of KeypointTextContrastiveLoss, which "
                         "this model is not trained with; 'cosine' needs none")
    return wanted


@torch.no_grad()
def compute_similarity(model: BasePoseEstimator, dataset: BaseDataset, index: int, kind: str) -> np.ndarray:
    """Keypoint features (rows) against prompts (columns) of one instance, (K, K).

    The features are sampled at the labelled keypoints as the head's feature loss does it, bilinearly where there is
    none. The row of a keypoint that is not visible, or outside the crop, is NaN. The pipeline of ``dataset`` must have
    ``PackPoseInputs(pack_transformed=True)``. ``kind``: a key of SIMILARITIES.
    """
    batch = model.data_preprocessor(pseudo_collate([dataset[index]]), False)
    feats, samples = model.extract_feat(batch['inputs']), batch['data_samples']
    if getattr(feats, 'dense', None) is None or getattr(feats, 'text', None) is None:
        raise ValueError('the model has no image embedding and prompts to compare; one with PromptLearnerNeck or '
                         'DenseCLIPNeck does')
    keypoints, visible = packed_keypoints(samples, feats.dense)
    sample_features = getattr(model.head, 'sample_features', sample_bilinear)
    features, weight = sample_features(feats.dense, keypoints, visible.reshape(keypoints.shape[:2]),
                                       samples[0].input_size)
    text = full_precision(feats.text)
    values = (F.normalize(features, dim=2) @ F.normalize(text, dim=2).transpose(1, 2))[0]  # (K, K)
    if kind != 'cosine':
        values = values * _logit_scale(model)
    if kind == 'softmax':
        values = values.softmax(-1)
    return values.masked_fill(weight[0, :, None] == 0, float('nan')).cpu().numpy()


def mean_similarity(similarities: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The mean over images, each keypoint's row over those that show it, and how many these are: (K, K) and (K,).

    A row that no image shows is NaN.
    """
    stacked = np.stack(similarities).astype(np.float64)
    count = np.isfinite(stacked[..., 0]).sum(0)
    total = np.nansum(stacked, axis=0)
    return np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], np.nan), count


def draw_similarity(panels: dict[str, np.ndarray], names: Sequence[str], *, kind: str, title: str = '') -> Figure:
    """The (K, K) matrices of ``panels``, by title, side by side on one colour scale.

    A dot marks the prompt that a keypoint is most similar to. A row of NaN, of a keypoint that is not visible, is
    hatched.
    """
    values = np.concatenate([panel[np.isfinite(panel)] for panel in panels.values()])
    if not values.size:
        raise ValueError(f'no keypoint is visible in {title or "the images"}, so there is nothing to compare')
    K, cell = len(names), 0.27
    figure = Figure(figsize=(max((cell * K + 0.5) * len(panels) + 2.5, 6), max(cell * K, 1.5) + 2.8),
                    layout='constrained')
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for ax, (name, panel) in zip(axes, panels.items()):
        image = ax.imshow(panel, vmin=values.min(), vmax=values.max(), cmap='viridis')
        _mark_rows(ax, panel)
        seen = np.isfinite(panel[:, 0])
        own = int((panel[seen].argmax(1) == np.flatnonzero(seen)).sum())
        ax.set_title(f'{name}\nown prompt highest: {own} of {seen.sum()}', fontsize=11)
        ax.set_xticks(range(K), names, rotation=90, fontsize=8)
        ax.set_xlabel('prompt')
    axes[0].set_yticks(range(K), names, fontsize=8)
    axes[0].set_ylabel('image at the keypoint')
    figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01).set_label(SIMILARITIES[kind], fontsize=8)
    figure.suptitle(f'{title}   (dot: highest of the row; hatched: not visible)'.strip(), fontsize=9)
    return figure


def _mark_rows(ax: Axes, panel: np.ndarray) -> None:
    K = len(panel)
    for row, values in enumerate(panel):
        if np.isfinite(values).all():
            ax.plot(values.argmax(), row, 'o', mfc='white', mec='black', ms=4)
        else:
            ax.add_patch(Rectangle((-0.5, row - 0.5), K, 1, facecolor='0.9', edgecolor='0.6', hatch='////', lw=0))


def _logit_scale(model: BasePoseEstimator) -> float | None:
    """What Eq. 7 multiplies cosines with; None without a feature loss."""
    loss = getattr(model.head, 'feature_loss', None)
    if getattr(loss, 'logit_scale', None) is None:
        return None
    scale = float(full_precision(loss.logit_scale.detach()).exp())
    return scale if loss.max_scale is None else min(scale, loss.max_scale)
