from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.registry import DefaultScope, init_default_scope
from mmpose.evaluation.functional import nms
from mmpose.utils import adapt_mmdet_pipeline

from .boxes import Boxes, choose_categories
from .frames import Frame
from .inputs import Input
from .weights import load_weights


class Detector:
    """Boxes from any detector of MMDetection, ours included.

    Frames that enter the network with the same size go through it together; others one by one, so that no padding of
    one image changes what is found in another.

    Args:
        config, checkpoint: of MMDetection.
        names: the classes that count, all if None.
        bbox_thr: boxes with a lower score are left out.
        nms_thr: of two boxes that overlap more (IoU), whatever their classes, the surer stays.
    """

    next_image_id = 1

    def __init__(self,
                 config: str | Config,
                 checkpoint: str,
                 *,
                 names: Sequence[str] | None = None,
                 bbox_thr: float = 0.3,
                 nms_thr: float = 0.3,
                 device: str | None = None) -> None:
        from mmdet.apis import init_detector
        from mmdet.models import BaseDetector
        from mmdet.utils import get_test_pipeline_cfg
        config = config if isinstance(config, Config) else Config.fromfile(config)
        scope = DefaultScope.get_current_instance()
        with warnings.catch_warnings(record=True):  # of a missing checkpoint, which comes next
            # With a palette, no dataset is built.
            self.model = init_detector(config, None, palette='random', device='cpu')
        if not isinstance(self.model, BaseDetector):
            init_default_scope('mmpose' if scope is None else scope.scope_name)
            raise ValueError(f'the model of the detector\'s config is a {type(self.model).__name__}, not a detector of '
                             'MMDetection')
        meta = load_weights(self.model, checkpoint)
        self.model.to(device or get_device())
        # What is built lazily would be looked for among MMDetection's parts.
        init_default_scope('mmpose' if scope is None else scope.scope_name)
        if hasattr(getattr(self.model, 'neck', None), 'switch_to_deploy'):
            self.model.neck.switch_to_deploy()
        classes = _class_names(meta, config) or self.model.dataset_meta['classes']
        # As in COCO's files, ids count from 1.
        self.categories = dict(enumerate(classes, 1))
        self.wanted = choose_categories(self.categories, names, 'the detector')
        self.bbox_thr, self.nms_thr = bbox_thr, nms_thr
        adapt_mmdet_pipeline(config)
        pipeline = get_test_pipeline_cfg(config)
        pipeline[0].type = 'mmdet.LoadImageFromNDArray'
        self.pipeline = Compose(pipeline)

    def prepare(self, inputs: Sequence[Input]) -> dict[str, str]:
        return {}

    @torch.no_grad()
    def find(self, frames: Sequence[Frame]) -> list[Boxes]:
        """The boxes of each frame, the surest first."""
        found: dict[int, Boxes] = {}
        packed, alike = {}, defaultdict(list)
        for place, frame in enumerate(frames):
            try:
                packed[place] = self.pipeline(dict(img=frame.image, img_id=0, img_path=frame.input.path))
            except Exception as error:  # a transform may stumble over one odd image
                found[place] = Boxes.of([], [], [], error=f'{type(error).__name__} before the detector: {error}')
            else:
                alike[tuple(packed[place]['inputs'].shape)].append(place)
        for places in alike.values():
            samples = self.model.test_step(pseudo_collate([packed[place] for place in places]))
            found.update((place, self._boxes(sample.pred_instances.cpu().numpy()))
                         for place, sample in zip(places, samples))
        return [found[place] for place in range(len(frames))]

    def _boxes(self, instances) -> Boxes:
        category_ids = instances.labels + 1
        kept = np.flatnonzero((instances.scores >= self.bbox_thr) & np.isin(category_ids, [*self.wanted]))
        scored = np.concatenate([instances.bboxes[kept], instances.scores[kept, None]], axis=1)
        if len(kept):
            kept = kept[nms(scored, self.nms_thr)]
        return Boxes.of(instances.bboxes[kept], instances.scores[kept], category_ids[kept])


def _class_names(meta: dict, config: Config) -> Sequence[str] | None:
    """From the checkpoint, else from the config."""
    saved = {key.lower(): value for key, value in meta.get('dataset_meta', meta).items()}
    classes = saved.get('classes') or config.test_dataloader.dataset.get('metainfo', {}).get('classes')
    return (classes, ) if isinstance(classes, str) else classes
