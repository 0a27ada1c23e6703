from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmpose.models.heads import HeatmapHead
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, Features, OptConfigType, OptSampleList, Predictions
from torch import Tensor

from ...structures import VisionLanguageFeatures
from ..layers import ScoreMapUpsampler, full_precision, sample_bilinear, sample_released
from ..layers.checkpoint_match import refuse_other_weights
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

    With ``matching_only`` the score map alone is the prediction: each of its maps goes through the same small
    ``score_head``, which knows neither the other maps nor their number. Then ``fixed_keypoints`` is False, and other
    names may be asked for after training, ``model.neck.prompts.set_names([...])``, as many as wanted. The released code
    has an option of this name; the paper describes none, and this design is ours.

    Args:
        in_channels, out_channels, decoder and further arguments: as in :class:`HeatmapHead`.
        spatial_loss: config of the loss of the score map, None to leave it out. The released weight alpha_1 is 0.4 for
            RN50, 2.0 for ViT-B/16, 1.0 for ViT-L/14; the paper does not give it.
        score_head: arguments of :class:`ScoreMapUpsampler`; None upsamples bilinearly and leaves cosines as they are.
        feature_loss: config of :class:`KeypointTextContrastiveLoss`, None to leave it out.
        feature_sampling: 'bilinear' (Eq. 6) or 'released', what the released code computes in its place. The pipeline
            must pack the keypoints in the network's input: ``PackPoseInputs(pack_transformed=True)``.
        num_keypoints: K, where ``out_channels`` is not (UDP's combined maps have 3 K channels).
        matching_only: predicts from the score map alone. There are no layers over the features then: ``in_channels``,
            the arguments of those layers and ``spatial_loss`` have no effect, and a few channels are enough for
            ``score_head``, which runs once per keypoint.
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
                 matching_only: bool = False,
                 **kwargs) -> None:
        if matching_only:
            in_channels, spatial_loss = None, None
            kwargs.update(deconv_out_channels=None, conv_out_channels=None, final_layer=None)
        super().__init__(in_channels, out_channels, **kwargs)
        if feature_sampling not in _SAMPLERS:
            raise ValueError(f"feature_sampling='{feature_sampling}' must be one of {sorted(_SAMPLERS)}")
        self.num_keypoints = num_keypoints or out_channels
        self.feature_sampling = feature_sampling
        self.fixed_keypoints = not matching_only
        self.sample_features = _SAMPLERS[feature_sampling]
        self.spatial_loss = None if spatial_loss is None else MODELS.build(spatial_loss)
        self.score_head = None
        if matching_only:
            self.score_head = self._make_shared_score_head(score_head)
        elif spatial_loss is not None and score_head is not None:
            self.score_head = ScoreMapUpsampler(self.num_keypoints, out_channels, **score_head)
        self.feature_loss = None if feature_loss is None else MODELS.build(feature_loss)
        self._register_load_state_dict_pre_hook(self._refuse_another_mode)

    def forward(self, feats: VisionLanguageFeatures) -> Tensor:
        _check_features(feats)
        # MMPose takes them to NumPy, for the accuracy and to decode, and NumPy knows no bfloat16.
        heatmaps = full_precision(self._predict_maps(feats))
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

    def predict(self, feats: Features, batch_data_samples: OptSampleList,
                test_cfg: ConfigType = {}) -> Predictions:  # noqa: B006  (MMPose's signature)
        if test_cfg.get('flip_test') and not self.fixed_keypoints:
            num_names = feats[0].score_map.shape[1]
            flip_indices = batch_data_samples[0].metainfo['flip_indices']
            if len(flip_indices) != num_names:
                raise ValueError(f'flip_test needs the flip_indices of the {num_names} names that the neck asks for, '
                                 f'and the data has {len(flip_indices)}; clamp_mmpose.models.mirror_indices(names) '
                                 'gives them, or set flip_test=False in test_cfg')
        return super().predict(feats, batch_data_samples, test_cfg)

    def upsample_score_map(self, score_map: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, K, h, w) to the heatmap's ``size`` (H, W), as the spatial loss sees it; the heatmap if matching_only."""
        if not self.fixed_keypoints:
            return self._match(score_map)
        if self.score_head is None:
            return F.interpolate(full_precision(score_map), size=size, mode='bilinear', align_corners=False)
        return self.score_head(score_map)

    def _make_shared_score_head(self, score_head: dict | None) -> ScoreMapUpsampler:
        if score_head is None:
            raise ValueError('score_head=None, but matching_only predicts through it; give the arguments of '
                             'ScoreMapUpsampler, such as dict(deconv_out_channels=(16, 16))')
        maps_per_keypoint, rest = divmod(self.out_channels, self.num_keypoints)
        if rest:
            raise ValueError(f'out_channels={self.out_channels} must be a multiple of num_keypoints='
                             f'{self.num_keypoints}')
        return ScoreMapUpsampler(1, maps_per_keypoint, **score_head)

    def _predict_maps(self, feats: VisionLanguageFeatures) -> Tensor:
        if not self.fixed_keypoints:
            return self._match(feats.score_map)
        if feats[-1].shape[1] != self.in_channels:
            raise ValueError(f'in_channels={self.in_channels} of CLAMPHead, but the last map in front of it has '
                             f"{feats[-1].shape[1]} channels: the backbone's and one per keypoint name of the neck")
        return super().forward(feats)

    def _match(self, score_map: Tensor) -> Tensor:
        maps = self.score_head(score_map.flatten(0, 1)[:, None])  # (B * K, maps per keypoint, H, W)
        return maps.reshape(-1, score_map.shape[1] * maps.shape[1], *maps.shape[-2:])

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
        num_keypoints = self.num_keypoints if self.fixed_keypoints else num_names
        if not num_names == num_labels == num_keypoints:
            raise ValueError(f'the neck has {num_names} keypoint_names, the dataset {num_labels} keypoints, and the '
                             f'head is built for {num_keypoints}; all three must be the same')
        target = tuple(batch_data_samples[0].gt_fields.heatmaps.shape[:-3:-1])
        if self.decoder is not None and target != tuple(self.decoder.heatmap_size):
            raise ValueError(f'GenerateTarget makes heatmaps of {target} (W, H), the codec of the head has '
                             f'heatmap_size={tuple(self.decoder.heatmap_size)}; both must be the same codec')
        if self.feature_loss is not None:
            packed_keypoints(batch_data_samples[:1], feats.dense)

    def _refuse_another_mode(self, state_dict: dict, prefix: str, *args) -> None:
        has_layers = any(key.startswith((f'{prefix}final_layer.', f'{prefix}deconv_layers.')) for key in state_dict)
        if not self.fixed_keypoints:
            if has_layers:
                raise ValueError('the checkpoint has a keypoint head over the features, which matching_only=True has '
                                 'not; it was written with matching_only=False')
            refuse_other_weights(self.score_head, state_dict, f'{prefix}score_head.', 'score_head')
        elif not has_layers and any(key.startswith(f'{prefix}score_head.') for key in state_dict):
            raise ValueError('the checkpoint has no keypoint head over the features; it was written with '
                             'matching_only=True')


def _check_features(feats: VisionLanguageFeatures) -> None:
    missing = [name for name in ('score_map', 'dense', 'text') if getattr(feats, name, None) is None]
    if missing:
        raise ValueError(f'CLAMPHead finds no {missing} in its features; it stands behind a neck that makes a score '
                         'map: PromptLearnerNeck or DenseCLIPNeck')
