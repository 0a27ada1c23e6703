"""The model to export: built, its weights loaded without a gap, and asked the way MMPose asks it."""
from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.model import ImgDataPreprocessor
from mmengine.registry import init_default_scope
from mmpose.apis import init_model
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch import Tensor

from clamp_mmpose.apis.weights import load_weights
from clamp_mmpose.models import mirror_indices


class Prediction(NamedTuple):
    """What a model makes of a batch: heatmaps (B, K, H, W), keypoints (B, K, 2) in input pixels and scores (B, K)."""

    heatmaps: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray


class Subject:
    """A top-down model with a heatmap head, its weights, and the names of its keypoints.

    Raises ValueError for a config or a checkpoint that is none of this, and where the two do not fit.
    """

    def __init__(self, config: str, checkpoint: str, *, names: Sequence[str] | None, flip_test: bool,
                 device: str) -> None:
        self.config = Config.fromfile(config)
        init_default_scope('mmpose')
        _check_estimator(self.config, config)
        self.model = _build(self.config, config, device)
        meta = load_weights(self.model, checkpoint)
        self.model.dataset_meta = meta.get('dataset_meta') or self.model.dataset_meta
        self.codec = self.model.head.decoder
        if not isinstance(self.model.data_preprocessor, ImgDataPreprocessor):
            raise ValueError(f"data_preprocessor of {config} must be MMPose's PoseDataPreprocessor")
        if self.codec is None:
            raise ValueError(f'the head of {config} has no decoder, which says the size of the input')
        self.names = self._choose_names(names)
        self.flip_test = dict(self.model.test_cfg or {}, flip_test=True, flip_indices=self._flip_indices(names)) \
            if flip_test else None
        num_keypoints = self._count_keypoints()
        if len(self.names) != num_keypoints:
            self.names = []  # the dataset is not the one that the head was built for

    def random_images(self, count: int, seed: int) -> list[Tensor]:
        """(3, H, W) in uint8, BGR: noise at every scale, for a network answers white noise with next to nothing."""
        rng = np.random.default_rng(seed)
        width, height = self.codec.input_size
        images = []
        for _ in range(count):
            image = sum(cv2.resize(rng.normal(0, 40, (cells, cells, 3)), (width, height)) for cells in (3, 9, 27, 81))
            images.append(torch.from_numpy(np.clip(128 + image, 0, 255).astype(np.uint8)).permute(2, 0, 1))
        return images

    def read_image(self, path: str) -> Tensor:
        """A picture as the test pipeline gives it to the network, the whole of it as one box."""
        image = cv2.imread(path)
        if image is None:
            raise ValueError(f'--images: {path} is no picture that can be read')
        height, width = image.shape[:2]
        if 'test_dataloader' not in self.config:
            raise ValueError('--images needs the test_dataloader of the config, whose pipeline prepares a picture')
        pipeline = Compose(self.config.test_dataloader.dataset.pipeline)
        box = dict(bbox=np.array([[0, 0, width, height]], np.float32), bbox_score=np.ones(1, np.float32))
        return pipeline(dict(self.model.dataset_meta, img_path=path, **box))['inputs']

    @torch.no_grad()
    def predict(self, images: list[Tensor]) -> Prediction:
        """What MMPose predicts for pictures in uint8, BGR: preprocessing, network, flip test and codec."""
        flip_test = self.flip_test or dict(flip_test=False)
        samples = [PoseDataSample(metainfo=dict(flip_indices=flip_test.get('flip_indices'))) for _ in images]
        data = self.model.data_preprocessor(dict(inputs=images, data_samples=samples))
        feats = self.model.extract_feat(data['inputs'])
        if self.flip_test:
            feats = [feats, self.model.extract_feat(data['inputs'].flip(-1))]
        instances, fields = self.model.head.predict(feats, samples, dict(flip_test, output_heatmaps='decoded'))
        return Prediction(
            torch.stack([field.heatmaps for field in fields]).cpu().numpy(),
            np.concatenate([instance.keypoints for instance in instances]),
            np.concatenate([instance.keypoint_scores for instance in instances]))

    def _choose_names(self, names: Sequence[str] | None) -> list[str]:
        neck = getattr(self.model, 'neck', None)
        if names is not None:
            if getattr(self.model.head, 'fixed_keypoints', True):
                raise ValueError('--prompts: the head is built for the keypoints it was trained with; other names need '
                                 'one that predicts from the score map alone, CLAMPHead(matching_only=True)')
            neck.prompts.set_names(names)
        chosen = getattr(neck, 'keypoint_names', None)
        known = self.model.dataset_meta.get('keypoint_id2name') or {}
        return list(chosen or (name.replace('_', ' ') for name in known.values()))

    def _flip_indices(self, names: Sequence[str] | None) -> list[int]:
        return self.model.dataset_meta['flip_indices'] if names is None else mirror_indices(names)

    @torch.no_grad()
    def _count_keypoints(self) -> int:
        """Runs the head once; ValueError if it gives no heatmaps."""
        model, head = self.model, type(self.model.head).__name__
        if (model.test_cfg or {}).get('output_keypoint_indices') is not None:
            raise ValueError('test_cfg.output_keypoint_indices chooses among the keypoints of the head, which the '
                             'exported graph cannot; take it out of the config')
        width, height = self.codec.input_size
        device = next(model.parameters()).device
        output = model.head(model.extract_feat(torch.zeros(1, 3, height, width, device=device)))
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise ValueError(f'the head {head} gives no heatmaps of one stage, (B, K, H, W), which is what can be '
                             'exported; MMDeploy exports SimCC and regression heads')
        combined = getattr(self.codec, 'heatmap_type', None) == 'combined'
        return output.shape[1] // (3 if combined else 1)


def _check_estimator(config: Config, path: str) -> None:
    if 'model' not in config:
        raise ValueError(f'{path} has no model; --config takes the config that the checkpoint was trained with')
    kind = config.model.get('type')
    estimator = MODELS.get(kind) if isinstance(kind, str) else kind
    if not isinstance(estimator, type) or not issubclass(estimator, TopdownPoseEstimator):
        raise ValueError(f"the model of {path} is a {kind}; only MMPose's TopdownPoseEstimator can be exported")
    if not config.model.get('head'):
        raise ValueError(f'the model of {path} has no head, which makes the heatmaps')
    prompting = (config.model.get('neck') or {}).get('prompting')
    if prompting == 'pre':
        raise ValueError("prompting='pre' runs the text tower for every image, so its text cannot be fused; "
                         "prompting='post' can be exported")


def _build(config: Config, path: str, device: str) -> TopdownPoseEstimator:
    try:
        return init_model(deepcopy(config), device=device)
    except (TypeError, AttributeError, KeyError) as error:  # what a part does not take, or an unknown part
        raise ValueError(f'{path} does not build a model: {error}') from error
