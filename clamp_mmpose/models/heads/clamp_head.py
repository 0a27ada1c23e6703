from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmpose.models.heads import HeatmapHead
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, OptConfigType, OptSampleList
from torch import Tensor

from ...structures import VisionLanguageFeatures
from ..layers import ScoreMapUpsampler, full_precision, sample_bilinear, sample_released
from ..layers.gaussian_target import packed_keypoints

_SAMPLERS = dict(bilinear=sample_bilinear, released=sample_released)


@MODELS.register_module()
class CLAMPHead(HeatmapHead):
    """MMPose's heatmap head with CLAMP's two contrastive losses between image and prompts (Sec. 3.2.2).

    Predicts from the last map, as :class:`HeatmapHead` does, and trains with

    - ``loss_kpt``, the heatmap loss L_pred of the parent;
    - ``loss_spatial``, the same target for the upsampled score map (Eq. 5);
    - ``loss_feature``, the contrast of keypoint features and prompts (Eq. 6 to 8).

    It stands behind a neck that gives ``score_map``, ``dense`` and ``text``: :class:`PromptLearnerNeck` or
    ``DenseCLIPNeck``. ``in_channels`` is C + K, the backbone's channels and the score map.

    Args:
        in_channels, out_channels, decoder and further arguments: as in :class:`HeatmapHead`.
        spatial_loss: config of the loss of the score map, None to leave it out. The released weight alpha_1 is 0.4 for
            RN50, 2.0 for ViT-B/16, 1.0 for ViT-L/14; the paper does not give it.
        score_head: arguments of :class:`ScoreMapUpsampler`; None upsamples bilinearly and leaves cosines as they are.
        feature_loss: config of :class:`KeypointTextContrastiveLoss`, None to leave it out.
        feature_sampling: 'bilinear' (Eq. 6) or 'released', what the released code computes in its place. The pipeline
            must pack the keypoints in the network's input: ``PackPoseInputs(pack_transformed=True)``.
        num_keypoints: K, where ``out_channels`` is not (UDP's combined maps have 3 K channels).
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 *,
                 spatial_loss: OptConfigType = dict(  # noqa: B006  (MMPose's form of a default config)
                     type='KeypointMSELoss', use_target_weight=True, loss_weight=0.4),
                 score_head: OptConfigType = dict(deconv_out_channels=(256, 256, 256)),  # noqa: B006
                 feature_loss: OptConfigType = dict(  # noqa: B006
                     type='KeypointTextContrastiveLoss', loss_weight=5e-4),
                 feature_sampling: str = 'bilinear',
                 num_keypoints: int | None = None,
                 **kwargs) -> None:
        super().__init__(in_channels, out_channels, **kwargs)
        if feature_sampling not in _SAMPLERS:
            raise ValueError(f"feature_sampling='{feature_sampling}' must be one of {sorted(_SAMPLERS)}")
        self.num_keypoints = num_keypoints or out_channels
        self.feature_sampling = feature_sampling
        self.sample_features = _SAMPLERS[feature_sampling]
        self.spatial_loss = None if spatial_loss is None else MODELS.build(spatial_loss)
        self.score_head = None
        if spatial_loss is not None and score_head is not None:
            self.score_head = ScoreMapUpsampler(self.num_keypoints, out_channels, **score_head)
        self.feature_loss = None if feature_loss is None else MODELS.build(feature_loss)

    def forward(self, feats: VisionLanguageFeatures) -> Tensor:
        _check_features(feats)
        if feats[-1].shape[1] != self.in_channels:
            raise ValueError(f'in_channels={self.in_channels} of CLAMPHead, but the last map in front of it has '
                             f"{feats[-1].shape[1]} channels: the backbone's and one per keypoint name of the neck")
        # MMPose takes them to NumPy, for the accuracy and to decode, and NumPy knows no bfloat16.
        heatmaps = full_precision(super().forward(feats))
        size = (heatmaps.shape[-1], heatmaps.shape[-2])
        if self.decoder is not None and size != tuple(self.decoder.heatmap_size):
            raise ValueError(f'the head makes heatmaps of {size} (W, H), the codec has heatmap_size='
                             f'{tuple(self.decoder.heatmap_size)}; change heatmap_size or deconv_out_channels '
                             '(each layer doubles the size)')
        return heatmaps

    def loss(self, feats: VisionLanguageFeatures, batch_data_samples: OptSampleList,
             train_cfg: ConfigType = {}) -> dict:  # noqa: B006  (MMPose's signature)
        self._check(feats, batch_data_samples)
        losses = super().loss(feats, batch_data_samples, train_cfg)
        if self.spatial_loss is not None:
            losses['loss_spatial'] = self._loss_spatial(feats.score_map, batch_data_samples)
        if self.feature_loss is not None:
            losses['loss_feature'] = self._loss_feature(feats, batch_data_samples)
        return losses

    def upsample_score_map(self, score_map: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, K, h, w) to the heatmap's ``size`` (H, W), as the spatial loss sees it."""
        if self.score_head is None:
            return F.interpolate(full_precision(score_map), size=size, mode='bilinear', align_corners=False)
        return self.score_head(score_map)

    def _loss_spatial(self, score_map: Tensor, batch_data_samples: OptSampleList) -> Tensor:
        target = torch.stack([sample.gt_fields.heatmaps for sample in batch_data_samples])
        weight = torch.cat([sample.gt_instance_labels.keypoint_weights for sample in batch_data_samples])
        upsampled = self.upsample_score_map(score_map, target.shape[-2:])
        if upsampled.shape != target.shape:
            raise ValueError(f'the upsampled score map is {tuple(upsampled.shape)}, the target {tuple(target.shape)}; '
                             'score_head must double its size as often as the keypoint head does')
        return self.spatial_loss(upsampled, target, weight)

    def _loss_feature(self, feats: VisionLanguageFeatures, batch_data_samples: OptSampleList) -> Tensor:
        keypoints, visible = packed_keypoints(batch_data_samples, feats.dense)
        features, weight = self.sample_features(feats.dense, keypoints, visible, batch_data_samples[0].input_size)
        return self.feature_loss(features, feats.text, weight)

    def _check(self, feats: VisionLanguageFeatures, batch_data_samples: Sequence) -> None:
        _check_features(feats)
        num_names = feats.text.shape[1]
        num_labels = batch_data_samples[0].gt_instance_labels.keypoint_weights.shape[-1]
        if not num_names == num_labels == self.num_keypoints:
            raise ValueError(f'the neck has {num_names} keypoint_names, the dataset {num_labels} keypoints, and the '
                             f'head is built for {self.num_keypoints}; all three must be the same')
        target = tuple(batch_data_samples[0].gt_fields.heatmaps.shape[:-3:-1])
        if self.decoder is not None and target != tuple(self.decoder.heatmap_size):
            raise ValueError(f'GenerateTarget makes heatmaps of {target} (W, H), the codec of the head has '
                             f'heatmap_size={tuple(self.decoder.heatmap_size)}; both must be the same codec')
        if self.feature_loss is not None:
            packed_keypoints(batch_data_samples[:1], feats.dense)


def _check_features(feats: VisionLanguageFeatures) -> None:
    missing = [name for name in ('score_map', 'dense', 'text') if getattr(feats, name, None) is None]
    if missing:
        raise ValueError(f'CLAMPHead finds no {missing} in its features; it stands behind a neck that makes a score '
                         'map: PromptLearnerNeck or DenseCLIPNeck')
