from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.structures import PixelData
from mmpose.models.heads import BaseHead
from mmpose.models.utils.tta import flip_heatmaps
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.utils.typing import ConfigType, Features, OptConfigType, OptSampleList, Predictions
from torch import Tensor, nn

from ..layers import (
    ActivationMaps,
    ContextEncoder,
    LocalKeys,
    PartDecoder,
    PosePrototypes,
    SpatialPositionEncoding,
    full_precision,
    kinematic_adjacency,
    read_skeleton,
    resize_map,
    window_logits,
)
from ..layers.backbone_maps import check_maps, find_scales
from .presence_labels import read_presence, read_windows, with_windows, without_unknown


class LOFROutput(NamedTuple):
    """All that :class:`LOFRHead` computes of B images and C keypoints.

    ``activations`` (B, C, h, w): what the CNN's classifier sees in each cell of the last map; its positive part is the
    activation map of Eq. 1. ``responses`` (B, C, H, W): the response maps, each of which sums to 1. ``features``
    (B, C, D) of the parts, ``prototypes`` (B, C, D) that asked for them. Logits (B, C) of the three classifiers.
    ``evidence`` (B, C, H, W), with ``local_matching``: what each cell says of each part.
    """

    activations: Tensor
    responses: Tensor
    features: Tensor
    prototypes: Tensor
    cnn_logits: Tensor
    encoder_logits: Tensor
    decoder_logits: Tensor
    evidence: Tensor | None = None


# What test_cfg.predict_from names: the maps to decode, the maps to show, and the logits that say what is there.
_READINGS = {
    'response': lambda out: (out.responses, out.responses, out.decoder_logits),
    'activation': lambda out: (out.activations, out.activations.relu(), out.cnn_logits),
}

_NO_TARGETS = ('keypoint_loss learns from gt_fields.heatmaps and gt_instance_labels.keypoint_weights, which the '
               "samples lack; write dict(type='GenerateTarget', encoder=codec) in the training pipeline, or "
               'keypoint_loss=None to train without locations')


@MODELS.register_module()
class LOFRHead(BaseHead):
    """Learns where keypoints are from which keypoints are in the picture: the transformer of LOFR (CVPR 2022).

    Activation maps of a CNN (Eq. 1) tell an encoder where to look (Eq. 3, 4), which relates the cells of each scale and
    makes one memory of all (Eq. 5 to 9). A prototype per keypoint (Eq. 2), related along the skeleton (Eq. 10), asks a
    decoder for its part; where the last layer looks is the part's response map, and its maximum the keypoint. Three
    classifiers learn which keypoints are present (Eq. 12), and the parts to differ (Eq. 11, 13).

    ``loss`` reads ``gt_instance_labels.presence`` (1, C) of each sample, 0 or 1, which the transform GeneratePresence
    makes, and no location unless there is a ``keypoint_loss``. That one (Eq. 14, 15) reads ``keypoint_weights`` and
    ``gt_fields.heatmaps``, of the instances alone that have a weight above 0.

    ``predict`` decodes maps whose maximum is the probability that the keypoint is there, so that it becomes the
    keypoint's score. ``test_cfg`` has, beside MMPose's: ``predict_from='response'``, or 'activation' for the CNN's
    activation maps, at their resolution and with their classifier. ``output_heatmaps`` gives the response maps, or the
    activation maps; 'decoded' what the codec reads.

    With ``spe``, ``reppg`` and ``diversity_loss`` None and a single one of ``scales`` it is the transformer baseline,
    whose prototypes are learned queries.

    What the paper does not give, and is ours, says configs/lofr/README.md.

    Args:
        in_channels: of each map of the backbone.
        out_channels: C, the number of keypoints.
        strides: of each map of the backbone. The last map makes the activation maps.
        scales: strides of the maps for the encoder. The response maps have the finest.
        channels: D, the width of the transformer.
        metainfo: file or dict of the dataset's metainfo, for its skeleton, as MMPose's datasets take it:
            'configs/_base_/datasets/coco.py'.
        skeleton_links: pairs of keypoint indices, in place of the metainfo's.
        spe: arguments of :class:`SpatialPositionEncoding`; None leaves it out.
        position_encoding: config of MMDetection's encodings to add to the maps, such as
            dict(type='mmdet.SinePositionalEncoding', num_feats=128, normalize=True).
        encoder: arguments of :class:`ContextEncoder`.
        reppg: arguments of :class:`PosePrototypes`; None has learned queries instead, and needs no skeleton.
        part_decoder: arguments of :class:`PartDecoder`.
        local_matching: None, or dict() with arguments of :class:`LocalKeys`: parts are matched with keys from all maps
            of the backbone, and the mean of these matches under a response map is the part's logit, in place of what
            the map pools from the memory, whose cells know of the whole image, so that a part can be classified right
            wherever its map looks. Ours. With it, ``gt_instance_labels.window_boxes`` (1, W, 4), in pixels of the
            input, and ``window_presence`` (1, W, C), NaN where unknown, of windows of the image, are learned from too.
        classification_loss: config of a loss of logits and presence, both (B, C). MMPose's BCELoss takes logits unless
            it is told ``use_sigmoid``.
        classification_weights: alpha, alpha_1, alpha_2 of Eq. 13: behind CNN, encoder and decoder.
        diversity_loss: config of :class:`PartDiversityLoss`; None leaves it out.
        keypoint_loss: config of MMPose's loss of heatmaps; None is location-free. It compares the response maps, their
            maximum 1.
        decoder: config of the codec.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 out_channels: int,
                 *,
                 strides: Sequence[int] = (4, 8, 16, 32),
                 scales: Sequence[int] = (4, 8, 16),
                 channels: int = 256,
                 metainfo: str | dict | None = None,
                 skeleton_links: Sequence[Sequence[int]] | None = None,
                 spe: OptConfigType = dict(mode='max'),  # noqa: B006  (MMPose's form of a default config)
                 position_encoding: OptConfigType = None,
                 encoder: ConfigType = dict(num_layers=4),  # noqa: B006
                 reppg: OptConfigType = dict(num_layers=2),  # noqa: B006
                 part_decoder: ConfigType = dict(num_layers=6),  # noqa: B006
                 local_matching: OptConfigType = None,
                 classification_loss: ConfigType = dict(type='BCELoss'),  # noqa: B006
                 classification_weights: tuple[float, float, float] = (0.2, 0.2, 0.5),
                 diversity_loss: OptConfigType = dict(type='PartDiversityLoss', loss_weight=0.1),  # noqa: B006
                 keypoint_loss: OptConfigType = None,
                 decoder: OptConfigType = None,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(init_cfg)
        if not isinstance(local_matching, (dict, type(None))):
            raise ValueError(f'local_matching={local_matching!r} must be dict(), with arguments, or None')
        if len(classification_weights) != 3:
            raise ValueError(f'classification_weights={classification_weights} must be three: behind CNN, encoder and '
                             'decoder')
        self.in_channels, self.strides = tuple(in_channels), tuple(strides)
        self.out_channels = out_channels
        self.scale_indices = find_scales(scales, self.strides, self.in_channels)
        self.decoder = None if decoder is None else KEYPOINT_CODECS.build(decoder)
        self.classification_loss = MODELS.build(classification_loss)
        self.classification_weights = tuple(classification_weights)
        self.diversity_loss = None if diversity_loss is None else MODELS.build(diversity_loss)
        self.keypoint_loss = None if keypoint_loss is None else MODELS.build(keypoint_loss)

        self.activation_maps = ActivationMaps(self.in_channels[-1], out_channels)
        self.projections = nn.ModuleList(
            nn.Conv2d(self.in_channels[index], channels, 1) for index in self.scale_indices)
        self.spe = None if spe is None else SpatialPositionEncoding(channels, out_channels, **spe)
        self.position_encoding = None if position_encoding is None else MODELS.build(position_encoding)
        self.encoder = ContextEncoder(channels, len(self.scale_indices), **encoder)
        self.reppg = self.queries = None
        if reppg is None:
            self.queries = nn.Parameter(torch.randn(out_channels, channels))
        else:
            adjacency = kinematic_adjacency(read_skeleton(metainfo, skeleton_links, out_channels), out_channels)
            self.reppg = PosePrototypes(self.in_channels[-1], channels, adjacency, **reppg)
        self.local_keys = None if local_matching is None else LocalKeys(self.in_channels, channels, **local_matching)
        self.part_decoder = PartDecoder(
            channels, matched_parts=None if local_matching is None else out_channels, **part_decoder)
        self.encoder_classifier = nn.Linear(channels, out_channels)
        # Each part has a classifier of its own, a row of the weight.
        self.decoder_classifier = nn.Linear(channels, out_channels) if local_matching is None else None

    def forward(self, feats: Features) -> Tensor:
        """(B, C, H, W): the heatmaps that ``predict`` decodes, of the size that the codec has."""
        out = self.read(feats)
        return self._heatmaps(out.responses, out.decoder_logits.sigmoid())

    def read(self, feats: Features) -> LOFROutput:
        check_maps(feats, self.in_channels, self.strides, None if self.decoder is None else self.decoder.input_size)
        cnn_logits, keypoint_maps, activations = self.activation_maps(feats[-1])
        memory = self._encode(feats, activations)
        prototypes = self._prototypes(feats[-1], keypoint_maps)
        keys = None if self.local_keys is None else self.local_keys(feats, tuple(memory.shape[-2:]))
        responses, features, evidence = self.part_decoder(prototypes, memory, keys)
        encoder_logits = self.encoder_classifier(memory.mean((2, 3)))
        if evidence is None:
            decoder_logits = (features * self.decoder_classifier.weight).sum(-1) + self.decoder_classifier.bias
        else:
            evidence = full_precision(evidence)
            decoder_logits = (full_precision(responses) * evidence).sum((2, 3))
        return LOFROutput(*map(full_precision, (activations, responses, features, prototypes, cnn_logits,
                                                encoder_logits, decoder_logits)), evidence)

    def predict(self, feats: Features, batch_data_samples: OptSampleList,
                test_cfg: ConfigType = {}) -> Predictions:  # noqa: B006  (MMPose's signature)
        source = test_cfg.get('predict_from', 'response')
        if source not in _READINGS:
            raise ValueError(f"predict_from='{source}' of test_cfg must be one of {sorted(_READINGS)}")
        if test_cfg.get('flip_test', False):
            maps, shown, presence = self._average_flipped(feats, batch_data_samples, test_cfg, source)
        else:
            maps, shown, logits = _READINGS[source](self.read(feats))
            presence = logits.sigmoid()
        heatmaps = self._heatmaps(maps, presence)
        output = test_cfg.get('output_heatmaps', False)
        if not output:
            return self.decode(heatmaps)
        shown = heatmaps if output == 'decoded' else shown
        return self.decode(heatmaps), [PixelData(heatmaps=x) for x in shown.detach()]

    def loss(self, feats: Features, batch_data_samples: OptSampleList,
             train_cfg: ConfigType = {}) -> dict:  # noqa: B006  (MMPose's signature)
        presence = read_presence(batch_data_samples, self.out_channels)
        out = self.read(feats)
        labelled = self._with_windows(out, presence, batch_data_samples)
        pairs = (out.cnn_logits, presence), (out.encoder_logits, presence), labelled
        losses = {
            f'loss_cls_{name}': weight * self.classification_loss(*pair)
            for name, weight, pair in zip(('cnn', 'encoder', 'decoder'), self.classification_weights, pairs)
        }
        if self.diversity_loss is not None:
            losses['loss_diversity'] = self.diversity_loss(out.features)
        if self.keypoint_loss is not None:
            losses['loss_kpt'] = self._loss_kpt(out.responses, batch_data_samples)
        losses['acc_presence'] = ((out.decoder_logits.detach() > 0) == (presence > 0)).float().mean()
        return losses

    def _encode(self, feats: Features, activations: Tensor) -> Tensor:
        maps = [projection(feats[index]) for projection, index in zip(self.projections, self.scale_indices)]
        sizes = [tuple(x.shape[-2:]) for x in maps]
        if self.position_encoding is not None:
            maps = [x + self.position_encoding(x.new_zeros(len(x), *size, dtype=torch.bool))
                    for x, size in zip(maps, sizes)]
        if self.spe is None:
            tokens = [x.flatten(2).permute(2, 0, 1) for x in maps]
        else:
            keypoint_maps = self.spe.keypoint_maps(activations)
            tokens = [self.spe(x, keypoint_maps) for x in maps]
        return self.encoder(tokens, sizes)

    def _prototypes(self, features: Tensor, keypoint_maps: Tensor) -> Tensor:
        if self.reppg is None:
            return self.queries.expand(len(features), -1, -1)
        return self.reppg(features, keypoint_maps)

    def _average_flipped(self, feats: Features, batch_data_samples: OptSampleList, test_cfg: ConfigType,
                         source: str) -> tuple[Tensor, Tensor, Tensor]:
        flip_indices = batch_data_samples[0].metainfo['flip_indices']
        if len(flip_indices) != self.out_channels:
            raise ValueError(f'flip_test needs the flip_indices of {self.out_channels} keypoints, and the data has '
                             f'{len(flip_indices)}')
        (*maps, logits), (*flipped, flipped_logits) = (_READINGS[source](self.read(x)) for x in feats)
        flipped = [
            flip_heatmaps(
                x,
                flip_indices=flip_indices,
                flip_mode=test_cfg.get('flip_mode', 'heatmap'),
                shift_heatmap=test_cfg.get('shift_heatmap', False)) for x in flipped
        ]
        presence = (logits.sigmoid() + flipped_logits.sigmoid()[:, flip_indices]) / 2
        return *((x + y) / 2 for x, y in zip(maps, flipped)), presence

    def _heatmaps(self, maps: Tensor, presence: Tensor) -> Tensor:
        """Maps as the codec wants them, from 0 to ``presence``: a response map spreads a sum of 1 over all its cells,
        and CocoMetric takes a maximum of 0.2 or less for a keypoint that is not there."""
        if self.decoder is not None:
            maps = resize_map(maps, self.decoder.heatmap_size[::-1])
        lowest, highest = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
        scale = (highest - lowest).clamp(min=torch.finfo(maps.dtype).tiny)
        # Resized, the last cell is a plateau; rounded, its maximum is where the cell lies. In a map of zeros the codec
        # finds no maximum.
        return ((maps - lowest) / scale).round(decimals=5) * presence.clamp(min=1e-6)[..., None, None]

    def _with_windows(self, out: LOFROutput, presence: Tensor, batch_data_samples: OptSampleList) -> tuple:
        """Logits and presence of the images, and of their windows if they have some."""
        windows = read_windows(batch_data_samples)
        if windows is None:
            return out.decoder_logits, presence
        if out.evidence is None:
            raise ValueError('the samples have window_boxes, which LOFRHead learns from with local_matching=dict() '
                             'alone; write it, or windows=0 in PresenceTagDataset')
        boxes, labels, size = windows
        logits, known = window_logits(out.evidence, self.part_decoder.sharpness, boxes, size)
        return without_unknown(torch.cat([out.decoder_logits, logits]), with_windows(presence, labels, known))

    def _loss_kpt(self, responses: Tensor, batch_data_samples: OptSampleList) -> Tensor:
        labels = [sample.gt_instance_labels for sample in batch_data_samples]
        if any('keypoint_weights' not in label for label in labels):
            raise ValueError(_NO_TARGETS)
        weights = torch.cat([label.keypoint_weights for label in labels])
        located = [index for index, weight in enumerate(weights) if (weight > 0).any()]
        # Each located instance counts the same, whichever of the processes of a distributed training has it.
        number = responses.new_tensor(float(len(located)))
        all_reduce(number, op='mean')
        if not located:
            return responses.new_zeros(())
        if any('heatmaps' not in batch_data_samples[index].get('gt_fields', ()) for index in located):
            raise ValueError(_NO_TARGETS)
        target = torch.stack([batch_data_samples[index].gt_fields.heatmaps for index in located])
        responses = resize_map(responses[located], target.shape[-2:])
        peaks = responses / responses.amax((2, 3), keepdim=True)
        return self.keypoint_loss(peaks, target, weights[located]) * (len(located) / number)
