from __future__ import annotations

import os

import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.datasets.transforms import PackPoseInputs
from mmpose.registry import TRANSFORMS

from ..presence import LocatedInstances, check_pipeline, stands_before
from ..presence.pipeline_check import check_packing, check_windows

# Of an annotation as the file has it, what tells nothing of where keypoints are.
_PUBLIC = ('id', 'image_id', 'category_id', 'bbox', 'area', 'iscrowd', 'num_keypoints')


@TRANSFORMS.register_module()
class GeneratePresence(BaseTransform):
    """Labels an instance with which of its keypoints there are, and hides where they are.

    The label that LOFR learns from: a keypoint is present if it is annotated, COCO's hidden ones (v=1) too. Packed as
    ``gt_instance_labels.presence``, (1, K) of 0 and 1, by ``PackPresenceInputs``; by MMPose's ``PackPoseInputs`` if
    this stands after ``GenerateTarget`` and the flip. Flips swap left and right wherever it stands.

    What stands after it sees no location of an instance that does not keep its own: coordinates, weights and targets
    are 0. So it belongs right behind ``LoadImage``. What stands before it must be known to use no locations, and
    what takes crops by them is refused, with ValueError, at the first sample, or by ``ModelCheckHook`` before. The
    windows of a tag table, ``window_boxes`` and ``window_presence``, hold no locations and stay as they are.

    Args:
        located: which instances keep their locations: a share from 0 to 1, or a file of `clamp-mmpose make-splits
            locations`. An instance of a tag table has none to keep.
        seed: of a share.
        recompute_after_crop: whether a keypoint counts as present only if it lies within the network's input. Stands
            after ``TopdownAffine``. It tells the model where keypoints are, so it needs ``accept_location_leak``,
            unless all instances keep their locations.
        accept_location_leak: lets through what is refused otherwise.
    """

    def __init__(self,
                 located: float | str | os.PathLike = 0,
                 *,
                 seed: int = 0,
                 recompute_after_crop: bool = False,
                 accept_location_leak: bool = False) -> None:
        self.located = LocatedInstances(located, seed)
        self.recompute_after_crop = recompute_after_crop
        self.accept_location_leak = accept_location_leak
        if recompute_after_crop and not (accept_location_leak or self.located.has_all):
            raise ValueError('recompute_after_crop=True in GeneratePresence takes the labels from keypoint locations, '
                             'which training without locations must not see. Leave it out. To train with that leak, '
                             'say accept_location_leak=True')
        self._checked = None

    def check(self, dataset) -> None:
        """Raises ValueError if the pipeline of the dataset lets locations through, or loses the labels."""
        found = stands_before(dataset, self)
        if found is None:
            return
        before, after = found
        if any(isinstance(other, GeneratePresence) for other in (*before, *after)):
            raise ValueError('GeneratePresence stands twice in the pipeline: keep the first')
        check_packing(after)
        check_windows(dataset, (*before, *after))
        if self.located.has_all:
            return
        if getattr(dataset, 'test_mode', False):
            raise ValueError('GeneratePresence hides the locations that metrics compare with: leave it out of the '
                             'pipelines for validation and test, or say located=1')
        if not self.accept_location_leak:
            check_pipeline(before, after, has_located=not self.located.has_none)

    def transform(self, results: dict) -> dict:
        dataset = results.get('dataset')
        if dataset is not None and self._checked != id(dataset):
            self.check(dataset)
            self._checked = id(dataset)
        visible, presence = _visible_and_present(results)
        if not self._keeps_locations(results):
            if self.recompute_after_crop and not results.get('presence_only'):
                presence = presence * _inside(results)
            visible = np.zeros_like(visible)
            results = {'keypoint_weights': visible, **_hide(results)}  # of which GenerateTarget may make its own
        elif self.recompute_after_crop:
            presence = presence * _inside(results)
        # Flips take the last axis along, and GenerateTarget splits it: it weighs with the first.
        results['keypoints_visible'] = np.stack([visible, presence], axis=-1)
        results['presence'] = presence
        table = results.get('label_mapping_table', PackPoseInputs.label_mapping_table)
        results['label_mapping_table'] = {**table, 'presence': 'presence'}  # the codec's own stays as it is
        return results

    def _keeps_locations(self, results: dict) -> bool:
        if results.get('presence_only'):
            return False
        if self.located.share not in (0, 1) and 'id' not in results:
            raise ValueError(f'{self.located!r} needs an id of each instance, and the dataset gives none')
        return results.get('id') in self.located

    def __repr__(self) -> str:
        return (f'{type(self).__name__}({self.located!r}, recompute_after_crop={self.recompute_after_crop}, '
                f'accept_location_leak={self.accept_location_leak})')


def _visible_and_present(results: dict) -> tuple[np.ndarray, np.ndarray]:
    """(1, K), (1, K): weight of each keypoint in targets, and 1 where it is annotated."""
    visible = results.get('keypoints_visible')
    if visible is None:
        raise ValueError(f'keypoints_visible is missing in the sample of {results.get("img_path", "?")}; '
                         'GeneratePresence reads it, and belongs into the pipeline for training')
    visible = np.asarray(visible, dtype=np.float32)
    if visible.ndim < 2 or visible.shape[0] != 1:
        raise ValueError(f'keypoints_visible has the shape {visible.shape}; GeneratePresence takes samples of one '
                         "instance, (1, K): data_mode='topdown'")
    known = results.get('keypoints_visible_weights')
    if visible.ndim == 3:
        known = visible[..., 1] if visible.shape[2] == 2 else None
        visible = visible[..., 0]
    if results.get('presence_only'):  # a tag table: all weights are 0
        return visible, (known > 0).astype(np.float32)
    if known is not None and not np.all(known):
        unknown = np.flatnonzero(~np.all(np.asarray(known).reshape(visible.shape) > 0, axis=0)).tolist()
        raise ValueError(f'the keypoints {unknown} are not annotated in {results.get("dataset_name", "this dataset")}, '
                         'which KeypointConverter has filled up: they would be labelled as absent')
    return visible, (visible > 0).astype(np.float32)


def _inside(results: dict) -> np.ndarray:
    """(1, K): whether a keypoint lies on a pixel of the network's input."""
    if 'input_size' not in results:
        raise ValueError('recompute_after_crop=True needs GeneratePresence after TopdownAffine')
    places = np.asarray(results['transformed_keypoints'])[..., :2]
    return ((places >= -0.5) & (places < np.array(results['input_size']) - 0.5)).all(-1).astype(np.float32)


def _hide(results: dict) -> dict:
    """The same sample with 0 wherever something tells of locations."""
    targets = {key for table in ('field_mapping_table', 'label_mapping_table')
               for key in results.get(table, getattr(PackPoseInputs, table))}
    hidden = {}
    for key, value in results.items():
        if key in targets or (key.startswith(('keypoints', 'transformed_keypoints')) and key != 'keypoints_visible'):
            hidden[key] = [*map(np.zeros_like, value)] if isinstance(value, list) else np.zeros_like(value)
    if isinstance(results.get('raw_ann_info'), dict):
        raw = results['raw_ann_info']
        hidden['raw_ann_info'] = {key: raw[key] for key in _PUBLIC if key in raw}
    return {**results, **hidden}
