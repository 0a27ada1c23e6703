from __future__ import annotations

import logging

from torch.utils.data import Dataset

from ..datasets.presence import find_share, flatten
from ..datasets.presence_tag_dataset import PresenceTagDataset
from ..datasets.transforms import GeneratePresence


def check_presence(dataset: Dataset, logger: logging.Logger) -> None:
    """What can be said of presence labels before training starts; nothing of data without ``GeneratePresence``.

    Raises ValueError when a pipeline lets locations through, loses the labels, or has a list of instances that are of
    another file. Warns of a dataset whose labels hardly ever change, MPII-like, and says how many instances keep their
    locations.
    """
    for owner in _all(dataset):
        for generator in _generators(owner):
            generator.check(owner)
            for part in _leaves(owner):
                _say(part, generator, logger)


def _say(dataset: Dataset, generator: GeneratePresence, logger: logging.Logger) -> None:
    metainfo = getattr(dataset, 'metainfo', None) or {}
    name = f'{metainfo.get("dataset_name", type(dataset).__name__)} ({getattr(dataset, "ann_file", "")})'
    if not hasattr(dataset, 'get_data_info'):
        return
    if generator.located.file is not None and not isinstance(dataset, PresenceTagDataset):
        remark = generator.located.compare_with(getattr(dataset, 'ann_file', ''))
        if remark:
            logger.warning(f'GeneratePresence: {remark}')
        infos = (dataset.get_data_info(index) for index in range(len(dataset)))
        found = sum(info.get('id') in generator.located for info in infos)
        if not found:
            raise ValueError(f'none of the {len(generator.located.ids)} instances of {generator.located!r} is in '
                             f'{name}. Draw the list from this file: clamp-mmpose make-splits locations --ann FILE')
        logger.info(f'GeneratePresence: {found} of {len(dataset)} instances of {name} keep their locations')
    share = find_share(dataset, tuple((metainfo.get('keypoint_id2name') or {}).values()))
    if share is not None and share.problem():
        logger.warning(f'presence labels of {name}: {share.problem()}')


def _generators(dataset: Dataset) -> list[GeneratePresence]:
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    return [transform for transform in flatten(transforms) if isinstance(transform, GeneratePresence)]


def _all(dataset: Dataset) -> list[Dataset]:
    """The dataset, and all that it repeats or joins."""
    return [dataset, *(part for child in _children(dataset) for part in _all(child))]


def _leaves(dataset: Dataset) -> list[Dataset]:
    """Those that read annotations."""
    return [part for part in _all(dataset) if not _children(part)]


def _children(dataset: Dataset) -> list[Dataset]:
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    return [child for child in inner if child is not None]
