from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmpose.apis import init_model
from mmpose.models import TopdownPoseEstimator
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from ..datasets.transforms import WholeImageAffine
from .boxes import Boxes, WholeImage
from .frames import Frame, read_frames
from .inputs import Input, find_inputs
from .keypoint_meta import can_be_mirrored, meta_of_names
from .pose_result import PoseResult
from .weights import load_weights

# Frames wait for a batch to fill; those of large photographs wait in smaller numbers.
_MAX_WAITING_BYTES = 256 * 2**20


class PoseInferencer:
    """Poses in images and videos, from any top-down model of MMPose::

        inferencer = PoseInferencer('config.py', 'checkpoint.pth')
        for result in inferencer(['photo.jpg', 'folder', 'film.mp4']):
            print(result.path, result.keypoints)

    Beside MMPose's own inferencer, crops of several images share a batch, a file that cannot be read is a result with
    an ``error``, and the names that a model asks for can be changed. Memory does not grow with the inputs.

    Args:
        config, checkpoint: of MMPose.
        boxes: where the animals or people are: a :class:`Detector`, a :class:`BoxFile`, or the whole image.
        device: the first GPU if None and there is one.
        batch_size: crops that go through the network together.
        flip_test: False leaves out the second pass with the mirrored image, True asks for it, None is as the config
            says. A model that writes captions has none.
        cfg_options: changes to the config.
    """

    def __init__(self,
                 config: str | Path | Config,
                 checkpoint: str | Path,
                 *,
                 boxes: WholeImage | None = None,
                 device: str | None = None,
                 batch_size: int = 16,
                 flip_test: bool | None = None,
                 cfg_options: dict | None = None) -> None:
        if batch_size < 1:
            raise ValueError(f'batch_size={batch_size} must be 1 or more')
        config = config if isinstance(config, Config) else Config.fromfile(config)
        config.merge_from_dict(cfg_options or {})
        _check_is_top_down(config)
        self.model = init_model(config, None, device='cpu')
        meta = load_weights(self.model, checkpoint)
        self.model.dataset_meta = meta.get('dataset_meta', self.model.dataset_meta)
        self.model.to(device or get_device())
        if flip_test and not self.model.with_head:
            raise ValueError(f'flip_test=True: {type(self.model).__name__} has no head that averages the poses of an '
                             'image and its mirror image')
        self._flip_test = self.model.test_cfg.get('flip_test', False) if flip_test is None else flip_test
        self.model.test_cfg['flip_test'] = self._flip_test
        self.boxes = boxes or WholeImage()
        self.batch_size = batch_size
        self.pipeline = Compose(config.test_dataloader.dataset.pipeline)
        if not isinstance(self.boxes, WholeImage) and any(isinstance(step, WholeImageAffine)
                                                          for step in self.pipeline.transforms):
            raise ValueError('the pipeline of this model has WholeImageAffine, which takes the whole image whatever '
                             'the box: every box would get the same pose. Leave out the boxes')
        self._trained_meta = self.model.dataset_meta
        self._use_meta(self._trained_meta)
        self._neck = self.model.neck if self.model.with_neck else None
        self._check_names()
        self._trained_names = getattr(self._neck, 'keypoint_names', None)
        if self._fixed_keypoints and hasattr(self._neck, 'switch_to_deploy'):
            self._neck.switch_to_deploy()

    def set_prompts(self, names: Sequence[str]) -> None:
        """Asks for other keypoints by name. A flip test needs both sides of each name and is left out without.

        Raises ValueError for a model whose head was trained for its own keypoints, in their order.
        """
        names, known = tuple(names), getattr(self._neck, 'keypoint_names', None)
        if names == known:
            return
        if known is None:
            raise ValueError('prompts cannot be given to this model: it asks for nothing by name. A model with '
                             'PromptLearnerNeck does')
        if self._fixed_keypoints:
            raise ValueError(
                f'prompts={list(names)}: {type(self.model.head).__name__} was trained for {len(known)} keypoints and '
                'goes by their place, so other names, or the same in another order, would give the old keypoints '
                'under wrong names. A model that reads keypoints from the score map alone takes any: '
                "head=dict(type='CLAMPHead', matching_only=True, ...)")
        self._neck.prompts.set_names(names)
        # Back at the names of the training, skeleton and colours are the dataset's again.
        self._use_meta(self._trained_meta if names == self._trained_names else meta_of_names(names))
        self.model.test_cfg['flip_test'] = self._flip_test and can_be_mirrored(names)

    def __call__(self,
                 inputs: str | Path | np.ndarray | Sequence,
                 *,
                 recursive: bool = False,
                 every: int = 1) -> Iterator[PoseResult]:
        """One result per image and frame, in order.

        ``inputs``: files, folders (with ``recursive`` their folders too), :class:`Input`, or images (H, W, 3) in BGR.
        Of videos each ``every``-th frame is used. Raises ValueError for a path that is not there.
        """
        if every < 1:
            raise ValueError(f'every={every} must be 1 or more')
        inputs = [inputs] if isinstance(inputs, (str, Path, np.ndarray)) else list(inputs)
        odd = next((item.shape for item in inputs if isinstance(item, np.ndarray)
                    and (item.ndim != 3 or item.shape[2] != 3 or min(item.shape) < 2)), None)
        if odd is not None:
            raise ValueError(f'inputs has an image of shape {odd}; an image is (H, W, 3), BGR')
        arrays = [Frame(Input(f'{index}', f'{index}'), image=item) for index, item in enumerate(inputs)
                  if isinstance(item, np.ndarray)]
        if arrays and len(arrays) < len(inputs):
            raise ValueError('inputs must be paths or arrays, not both at once')
        if arrays:
            return self._estimate(arrays)
        if not all(isinstance(item, Input) for item in inputs):
            inputs = find_inputs([str(item) for item in inputs], recursive=recursive)
        unwanted = self.boxes.prepare(inputs)
        return self._estimate(read_frames(inputs, self._load_image, every=every, unwanted=unwanted))

    @property
    def _fixed_keypoints(self) -> bool:
        return getattr(self.model.head, 'fixed_keypoints', True)

    def _use_meta(self, meta: dict) -> None:
        """``meta`` describes what comes out of the model from here on."""
        chosen = self.model.test_cfg.get('output_keypoint_indices')
        self.model.dataset_meta = meta  # of what the head gives, for the flip test
        names = [meta['keypoint_id2name'][index] for index in range(meta['num_keypoints'])]
        self.keypoint_names = tuple(names if chosen is None else [names[index] for index in chosen])
        self.output_meta = meta if chosen is None else meta_of_names(self.keypoint_names)

    def _check_names(self) -> None:
        known = self.model.dataset_meta['num_keypoints']
        for part in ('neck', 'codec'):
            asked = getattr(getattr(self.model, part, None), 'keypoint_names' if part == 'neck' else 'names', None)
            if asked is not None and len(asked) != known:
                raise ValueError(f'the {part} asks for {len(asked)} keypoints, {", ".join(asked)}, but the dataset of '
                                 f'the checkpoint or config has {known}')

    def _load_image(self, path: str) -> np.ndarray:
        """As the model's own pipeline does."""
        return self.pipeline.transforms[0](dict(img_path=path))['img']

    def _estimate(self, frames: Iterator[Frame]) -> Iterator[PoseResult]:
        for waiting in _chunks(frames, self.batch_size):
            results = [None] * len(waiting)
            readable = [place for place, frame in enumerate(waiting) if frame.error is None]
            boxes = dict(zip(readable, self.boxes.find([waiting[place] for place in readable])))
            crops, owners = [], []
            for place, frame in enumerate(waiting):
                found, error = boxes.get(place, Boxes.of([], [], [])), frame.error
                error = error or found.error
                if error is None:
                    try:
                        new = self._crop(frame, found)
                    except Exception as failure:  # a transform may stumble over one odd image
                        error = f'{type(failure).__name__}: {" ".join(str(failure).split())}'
                    else:
                        crops += new
                        owners += [place] * len(new)
                if error is not None:
                    found = Boxes.of([], [], [], image_id=found.image_id, error=found.error)
                results[place] = self._result(frame, found, error)
            poses = self._forward(crops)
            for place in set(owners):
                mine = [pose for pose, owner in zip(poses, owners) if owner == place]
                keypoints, scores, captions, heatmaps = zip(*mine)
                results[place] = dataclasses.replace(
                    results[place], keypoints=np.stack(keypoints), scores=np.stack(scores), captions=captions,
                    heatmaps=None if heatmaps[0] is None else np.stack(heatmaps))
            yield from results

    def _crop(self, frame: Frame, boxes: Boxes) -> list[dict]:
        return [
            self.pipeline(
                dict(
                    self.model.dataset_meta,
                    img=frame.image,
                    img_path=frame.input.path,
                    bbox=box[None],
                    bbox_score=score[None])) for box, score in zip(boxes.xyxy, boxes.scores)
        ]

    @torch.no_grad()
    def _forward(self, crops: list[dict]) -> list[tuple[np.ndarray, np.ndarray, str | None, np.ndarray | None]]:
        """Keypoints (K, 2), scores (K,), caption and heatmaps (K, h, w) of each crop."""
        poses = []
        for start in range(0, len(crops), self.batch_size):
            for sample in self.model.test_step(pseudo_collate(crops[start:start + self.batch_size])):
                poses.append(_pose_of(sample))
        if poses and len(poses[0][0]) != len(self.keypoint_names):
            raise ValueError(f'the model gives {len(poses[0][0])} keypoints, but the dataset of the checkpoint or '
                             f'config names {len(self.keypoint_names)}: {", ".join(self.keypoint_names)}')
        return poses

    def _result(self, frame: Frame, boxes: Boxes, error: str | None) -> PoseResult:
        """Without any pose yet."""
        K = len(self.keypoint_names)
        return PoseResult(frame, boxes, np.zeros((0, K, 2), np.float32), np.zeros((0, K), np.float32),
                          self.keypoint_names, error)


def _pose_of(sample: PoseDataSample) -> tuple[np.ndarray, np.ndarray, str | None, np.ndarray | None]:
    """Keypoints (K, 2), NaN where a caption does not have them, their scores (K,), the caption, and the heatmaps."""
    found, caption = sample.pred_instances, sample.get('pred_caption') or {}
    keypoints = np.array(found.keypoints[0, :, :2], np.float32)
    if len(caption.get('valid', ())) == len(keypoints):
        keypoints[~np.asarray(caption['valid'], bool)] = np.nan
    heatmaps = sample.pred_fields.heatmaps.float().cpu().numpy() if 'pred_fields' in sample else None
    return keypoints, np.asarray(found.keypoint_scores[0], np.float32), caption.get('caption'), heatmaps


def _check_is_top_down(config: Config) -> None:
    """By the config, because MMPose builds no model of another package."""
    init_default_scope('mmpose')
    if 'model' not in config:
        raise ValueError('the config has no model; give the one that the checkpoint was trained with')
    kind = config.model.get('type')
    estimator = MODELS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(estimator, type) and issubclass(estimator, TopdownPoseEstimator)):
        raise ValueError(f'the model of the config is a {kind}, not a top-down model of MMPose, which '
                         'finds the keypoints in boxes')


def _chunks(frames: Iterator[Frame], size: int) -> Iterator[list[Frame]]:
    waiting, waiting_bytes = [], 0
    for frame in frames:
        waiting.append(frame)
        waiting_bytes += 0 if frame.image is None else frame.image.nbytes
        if len(waiting) == size or waiting_bytes > _MAX_WAITING_BYTES:
            yield waiting
            waiting, waiting_bytes = [], 0
    if waiting:
        yield waiting
