"""The model of ``--baseline``, for figures that compare."""
from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from .subject import Subject, keypoint_names, load_model, read_config

if TYPE_CHECKING:
    from mmengine.dataset import BaseDataset
    from mmpose.models.pose_estimators.base import BasePoseEstimator


@dataclasses.dataclass(frozen=True)
class Baseline:
    """``dataset`` has the subject's instances as the pipeline of the baseline makes them."""

    model: BasePoseEstimator
    dataset: OtherPipeline

    @classmethod
    def load(cls, subject: Subject) -> Baseline:
        """Raises ValueError for a model of other keypoints."""
        from mmengine.dataset import Compose
        from mmpose.apis.inference import dataset_meta_from_config
        path, checkpoint = subject.args.baseline
        config = read_config(path)
        names, wanted = (keypoint_names(meta)
                         for meta in (dataset_meta_from_config(config, 'val'), subject.dataset.metainfo))
        if names != wanted:
            raise ValueError(f'--baseline {path} predicts other keypoints, {", ".join(names)}; those here are '
                             f'{", ".join(wanted)}')
        model = load_model(config, checkpoint, subject.args.device)
        return cls(model, OtherPipeline(subject.dataset, Compose(config.val_dataloader.dataset.pipeline)))


class OtherPipeline:
    """The instances of a dataset, as another model's pipeline makes them."""

    def __init__(self, dataset: BaseDataset, pipeline) -> None:
        self.dataset = dataset
        self.pipeline = pipeline

    def __getitem__(self, index: int) -> dict:
        return self.pipeline(self.dataset.get_data_info(index))


def short_name(config: str) -> str:
    """Of a config: its file name up to batch size and schedule."""
    return Path(config).stem.split('_4x')[0].split('_1x')[0]
