from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmpose.registry import METRICS

# The first that a dataset has. Human3.6M's neck base is what TTP takes in place of the shoulders.
UPPER = (('neck_base', ), ('left_shoulder', 'right_shoulder'), ('l_shoulder', 'r_shoulder'), ('thorax', ),
         ('upper_neck', ), ('neck', ))
LOWER = (('left_hip', 'right_hip'), ('l_hip', 'r_hip'), ('pelvis', ), ('root', ))


@METRICS.register_module()
class TorsoPCKAccuracy(BaseMetric):
    """Share of visible keypoints that are nearer to their label than a part of the torso.

    The torso is the distance between the middle of the shoulders and the middle of the hips, found by the names of the
    dataset's metainfo; in Human3.6M between the neck base and the middle of the hips. So does TTP, whose numbers on
    Penn Action and Human3.6M are those with ``use_hidden=True``. MMPose's ``PCKAccuracy(norm_item='torso')`` is for
    JHMDB, whatever the dataset. Returns shares between 0 and 1:

    - ``PCK@0.2``: of all visible keypoints, or each keypoint's share weighted by how often it is visible: TTP's mPCK;
    - ``joint_mean@0.2``: the plain mean of the keypoints' shares;
    - ``PCK/<name>``: of each keypoint, NaN where it is never visible.

    Instances that have no torso, because of joints that are not visible or all in one place, do not count; the log says
    how many. Keypoints that are not finite are misses. Invisible keypoints do not count.

    Args:
        thr: part of the torso.
        torso: the names of the torso's two ends, each one or more keypoints whose middle it is, such as
            ``(['left_shoulder', 'right_shoulder'], 'pelvis')``. None finds them.
        use_hidden: hidden joints measure the torso too. For datasets that label them: others put them anywhere.
        collect_device, prefix: of MMEngine's ``BaseMetric``.
    """

    default_prefix = 'torso_pck'

    def __init__(self,
                 thr: float = 0.2,
                 torso: Sequence[str | Sequence[str]] | None = None,
                 *,
                 use_hidden: bool = False,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if isinstance(thr, bool) or not isinstance(thr, (int, float)) or not 0 < thr < float('inf'):
            raise ValueError(f'thr={thr!r} must be a part of the torso, above 0')
        self.thr = thr
        self.torso = None if torso is None else _check_torso(torso)
        self.use_hidden = use_hidden

    def process(self, data_batch: Sequence[dict], data_samples: Sequence[dict]) -> None:
        ends = self._ends()
        for sample in data_samples:
            self.results.append(self._count(sample, ends))

    def compute_metrics(self, results: list) -> dict[str, float]:
        names = self._names()
        upper, lower = ([names[index] for index in end] for end in self._ends())
        nothing = np.zeros(len(names), dtype=int), np.zeros(len(names), dtype=int), 0, 0
        hits, visible, instances, measured = (sum(part) for part in zip(nothing, *results))
        # A keypoint that was never visible has no share.
        shares = np.divide(hits, visible, out=np.full(len(names), np.nan), where=visible > 0)
        logger = MMLogger.get_current_instance()
        logger.info(f'PCK of {measured} of {instances} instances, normalised by the torso from {" and ".join(upper)} '
                    f'to {" and ".join(lower)}{"; the others have none" if measured < instances else ""}')
        if not visible.sum():
            logger.warning('No instance has a torso and visible keypoints, so there is no PCK. If the dataset labels '
                           'hidden joints, TorsoPCKAccuracy(use_hidden=True) measures with them')
        metrics = {
            f'PCK@{self.thr:g}': hits.sum() / visible.sum() if visible.any() else np.nan,
            f'joint_mean@{self.thr:g}': shares[visible > 0].mean() if visible.any() else np.nan,
        }
        metrics.update((f'PCK/{name}', share) for name, share in zip(names, shares))
        return {key: float(value) for key, value in metrics.items()}

    def _count(self, sample: Mapping, ends: tuple[list[int], list[int]]) -> tuple[np.ndarray, np.ndarray, int, int]:
        """Hits and visible keypoints of the measured instances, (K, ); the instances; how many were measured."""
        truth = sample['gt_instances']
        label = np.asarray(truth['keypoints'], dtype=np.float64)[..., :2]
        predicted = np.asarray(sample['pred_instances']['keypoints'], dtype=np.float64)[..., :2]
        if predicted.shape != label.shape:
            raise ValueError(f'the model predicts {predicted.shape[0]} poses of {predicted.shape[1]} keypoints in '
                             f'{sample.get("img_path", "an image")}, and the dataset has {label.shape[0]} of '
                             f'{label.shape[1]}; TorsoPCKAccuracy is for top-down models')
        if label.shape[1] != len(self._names()):
            raise ValueError(f"the dataset's metainfo names {len(self._names())} keypoints, and the labels of "
                             f'{sample.get("img_path", "an image")} have {label.shape[1]}')
        # (N, K), or (N, K, 2) of MMPose's KeypointConverter, whose second value is a weight
        visible = np.asarray(truth['keypoints_visible']).reshape(*label.shape[:2], -1)[..., 0] > 0
        upper, lower = ends
        torso = np.linalg.norm(label[:, upper].mean(1) - label[:, lower].mean(1), axis=-1)
        measured = np.isfinite(torso) & (torso > 0)
        if not self.use_hidden:
            measured &= visible[:, [*upper, *lower]].all(1)
        counted = visible & measured[:, None]
        # Nothing that is not finite is below the limit.
        hits = counted & (np.linalg.norm(predicted - label, axis=-1) <= self.thr * torso[:, None])
        return hits.sum(0), counted.sum(0), len(label), int(measured.sum())

    def _names(self) -> list[str]:
        names = (self.dataset_meta or {}).get('keypoint_id2name')
        if not names:
            raise ValueError("TorsoPCKAccuracy finds the torso by name, and the dataset's metainfo has no names of "
                             'keypoints')
        return [names[index] for index in range(len(names))]

    def _ends(self) -> tuple[list[int], list[int]]:
        """The keypoints in whose middle the torso begins and ends."""
        names = self._names()
        places = {_plain(name): index for index, name in enumerate(names)}
        if self.torso is None:
            found = [next((end for end in ends if places.keys() >= {*end}), None) for ends in (UPPER, LOWER)]
            if None in found:
                raise ValueError(f'there is no torso among the keypoints {", ".join(names)}: name both of its ends, '
                                 'torso=(names, names)')
        else:
            found = self.torso
            unknown = [name for end in found for name in end if _plain(name) not in places]
            if unknown:
                raise ValueError(f'torso={self.torso}: {", ".join(unknown)} is not among the keypoints '
                                 f'{", ".join(names)}')
        upper, lower = ([places[_plain(name)] for name in end] for end in found)
        return upper, lower


def _check_torso(torso) -> tuple[list[str], list[str]]:
    ends = [[end] if isinstance(end, str) else end for end in torso] if isinstance(torso, (list, tuple)) else []
    right = all(isinstance(end, (list, tuple)) and end and all(isinstance(name, str) for name in end) for end in ends)
    if len(ends) != 2 or not right or {*map(_plain, ends[0])} == {*map(_plain, ends[1])}:
        raise ValueError(f'torso={torso!r} must be two different ends, each the names of one or more keypoints')
    return tuple(map(list, ends))


def _plain(name: str) -> str:
    return name.lower().replace(' ', '_')
