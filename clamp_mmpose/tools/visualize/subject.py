from __future__ import annotations

import argparse
import copy
import csv
import dataclasses
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from mmengine.config import Config

if TYPE_CHECKING:
    from mmengine.dataset import BaseDataset
    from mmpose.models.pose_estimators.base import BasePoseEstimator

    from ...codecs import CaptionPose
    from ...visualization import PoseView

NO_SCORE_MAP = 'a model with a score map, such as one with PromptLearnerNeck or DenseCLIPNeck'
NO_PROMPTS = 'a model that compares image embedding and prompts, such as one with PromptLearnerNeck or DenseCLIPNeck'
NO_CAPTIONS = 'a model that writes captions, such as BLIPCaptionPoseEstimator'
NO_LABELS = 'labelled keypoints, which --images have not'
_PER_PAGE = 10
T = TypeVar('T')


@dataclasses.dataclass
class Subject:
    """What figures are drawn of: a model, the instances chosen from a dataset, and the options.

    ``names``: of the model's prompts or captions, or of the dataset's keypoints. ``indices``: places of the instances
    in ``dataset``. ``keypoints``: places of ``--keypoints`` in ``names``, empty if not given. ``initial_model``: config
    of the model before its weights are replaced.
    """

    args: argparse.Namespace
    model: BasePoseEstimator
    dataset: BaseDataset
    names: list[str]
    indices: list[int]
    keypoints: list[int]
    initial_model: dict

    @classmethod
    def load(cls, args: argparse.Namespace) -> Subject:
        """Builds model and dataset; raises ValueError or OSError for what does not fit."""
        from ... import visualization
        if args.boxes and not args.images:
            raise ValueError('--boxes is for --images; the instances of the validation set have boxes')
        if args.boxes and len(args.boxes) > 2:
            raise ValueError(f'--boxes takes one or two files, not {len(args.boxes)}')
        if args.ann and args.images:
            raise ValueError('--ann and --images exclude each other; --boxes gives the boxes of --images')
        for option, number in (('--num', args.num), ('--mean-over', args.mean_over)):
            if number is not None and number < 1:
                raise ValueError(f'{option} {number} must be 1 or more')
        config = read_config(args.config, args.cfg_options)
        initial_model = copy.deepcopy(config.model)
        model = load_model(config, args.checkpoint, args.device)
        dataset = _build_dataset(config, args)
        names = getattr(model.neck, 'keypoint_names', None) if model.with_neck else None
        names = names or getattr(getattr(model, 'codec', None), 'names', None)
        labels = keypoint_names(dataset.metainfo)
        if names and len(names) != len(labels):
            raise ValueError(f'{args.config} names {len(names)} keypoints, {", ".join(names)}, and its dataset '
                             f'{len(labels)}, {", ".join(labels)}')
        names = list(names or labels)
        keypoints = visualization.find_keypoints(args.keypoints or [], names)
        if args.images:
            indices = list(range(len(dataset)))[:args.num]
        else:
            indices = visualization.choose_instances(dataset, 4 if args.num is None else args.num, seed=args.seed)
        return cls(args, model, dataset, names, indices, keypoints, initial_model)

    @cached_property
    def views(self) -> list[PoseView]:
        """What the model sees of each instance."""
        from ...visualization import view_instances
        return view_instances(self.model, self.dataset, self.indices)

    @cached_property
    def many(self) -> list[int]:
        """Places of the instances of ``--mean-over``; all of ``--images``."""
        if not self.annotated:
            return self.indices
        from ...visualization import choose_instances
        return choose_instances(self.dataset, self.args.mean_over, seed=self.args.seed)

    @cached_property
    def has_score_map(self) -> bool:
        """Whether the model makes score maps, tried on the first instance."""
        if self.codec:
            return False
        from ...visualization import view_instances
        return view_instances(self.model, self.dataset, self.indices[:1], height=8)[0].score_map is not None

    @cached_property
    def has_prompts(self) -> bool:
        """Whether the model compares an image embedding with prompts."""
        neck = self.model.neck if self.model.with_neck else None
        return self.has_score_map and hasattr(neck, 'encode_text')

    @property
    def codec(self) -> CaptionPose | None:
        """What the captions of the model are written in; None if it writes none."""
        from ...codecs import CaptionPose
        codec = getattr(self.model, 'codec', None)
        return codec if isinstance(codec, CaptionPose) else None

    @property
    def annotated(self) -> bool:
        return not self.args.images


def read_config(path: str, options: dict | None = None) -> Config:
    config = Config.fromfile(path)
    if options:
        config.merge_from_dict(options)
    for key in ('model', 'val_dataloader.dataset.pipeline'):
        if config.get(key.split('.')[0]) is None:
            raise ValueError(f'{path} has no {key}; figures are drawn of a model and its validation set')
    return config


def load_model(config: Config, checkpoint: str, device: str) -> BasePoseEstimator:
    """A model with the weights of a checkpoint. Raises ValueError if these do not fit."""
    import torch
    from mmpose.apis import init_model
    if device.startswith('cuda') and not torch.cuda.is_available():
        raise ValueError(f'--device {device}: PyTorch finds no CUDA device; use --device cpu')
    model = init_model(config, None, device=device)
    load_weights(model, checkpoint)
    return model


def load_initial_model(subject: Subject) -> BasePoseEstimator:
    """The same model with the weights of ``--before``, or those its training starts with, drawn with ``--seed``."""
    import torch
    from mmengine.logging import MMLogger
    from mmpose.models import build_pose_estimator
    torch.manual_seed(subject.args.seed)
    model = build_pose_estimator(copy.deepcopy(subject.initial_model))
    if subject.args.before:
        load_weights(model, subject.args.before)
    else:
        logger = MMLogger.get_current_instance()
        level = logger.level
        logger.setLevel('WARNING')  # MMEngine tells of every tensor
        try:
            model.init_weights()
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"the config's initial weights cannot be loaded ({error}); --before CHECKPOINT takes "
                             'others') from error
        finally:
            logger.setLevel(level)
    return model.to(subject.args.device).eval()


def load_weights(model: BasePoseEstimator, checkpoint: str) -> None:
    """Loads what a checkpoint holds, and tells what the model lacks then.

    Raises ValueError if that is all of it, or if a weight has another shape: MMEngine would keep the random one.
    """
    from ...apis.weights import load_matching_weights
    missing = load_matching_weights(model, checkpoint)[1]
    own = [name for name, _ in model.named_parameters()]  # some models take their architecture from the file
    missing = set(missing).intersection(own)
    if len(missing) == len(own):
        raise ValueError(f'{checkpoint} has no weight in common with the model of the config')
    if missing:
        print(f'visualize: {len(missing)} of the {len(own)} weights of the model are not in {checkpoint}, such as '
              f'{min(missing)}; they are random', file=sys.stderr)


def keypoint_names(metainfo: dict) -> list[str]:
    """The dataset's keypoints, in words."""
    return [name.replace('_', ' ') for name in metainfo['keypoint_id2name'].values()]


def paged(file_name: str, items: Sequence[T]) -> Iterator[tuple[str, Sequence[T]]]:
    """Splits the rows of a long figure; yields the name of each page's file, NAME.png or NAME_1.png and so on."""
    pages = [items[start:start + _PER_PAGE] for start in range(0, len(items), _PER_PAGE)]
    for number, page in enumerate(pages, 1):
        yield file_name if len(pages) == 1 else file_name.replace('.png', f'_{number}.png'), page


def to_csv(header: Sequence[str], rows: Iterable[Sequence]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows([header, *rows])
    return text.getvalue()


def _build_dataset(config: Config, args: argparse.Namespace) -> BaseDataset:
    """The images of ``--images``, or the validation set with its ground truth."""
    from pathlib import Path

    from mmpose.apis.inference import dataset_meta_from_config
    from mmpose.datasets.transforms import PackPoseInputs
    from mmpose.registry import DATASETS
    settings = config.val_dataloader.dataset
    if args.images:
        from .pictures import Pictures, find_boxes, find_pictures
        pictures = find_pictures(args.images)
        boxes = [(path, None) for path in pictures]
        if args.boxes:
            boxes = find_boxes(args.boxes[0], pictures, *args.boxes[1:])
        return Pictures(boxes, settings.pipeline, dataset_meta_from_config(config, 'val'))
    settings.pop('bbox_file', None)  # of a detector, without labelled keypoints
    if args.ann:
        settings.ann_file = str(Path(args.ann).resolve())
    dataset = DATASETS.build(settings)
    for transform in dataset.pipeline.transforms:
        if isinstance(transform, PackPoseInputs):
            transform.pack_transformed = True  # for figures that look at the features of keypoints
    return dataset
