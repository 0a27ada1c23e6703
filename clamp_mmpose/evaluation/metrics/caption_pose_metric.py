from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmpose.registry import KEYPOINT_CODECS, METRICS

from ..aligned_table import align_columns
from ..pose_errors import PixelGrid, PoseErrors, measure, to_input_pixels


@METRICS.register_module()
class CaptionPoseMetric(BaseMetric):
    """Errors of poses in pixels of the network's input, as the paper on pose captions measures them.

    For any top-down model: the size of image and box does not matter, so models of one input size compare. Returns

    - ``MAE``: mean distance between keypoint and label, of complete poses.
    - ``accuracy@25``, ...: share of poses that are complete and whose mean distance is at most 25 pixels.
    - ``exact``: share of poses all of whose keypoints are the labels, rounded to the pixel.
    - of captions also ``complete``: share of poses with coordinates for every labelled keypoint, and ``parse_rate``:
      share of captions that are as the codec writes them, from beginning to end.
    - ``visibility``: share of keypoints whose visibility is right, of captions that hold the visibility, in place of
      all that is measured in pixels.

    Keypoints without label do not count, nor do poses without any. NaN is what there is nothing to measure with. The
    log has a table of all keypoints.

    The paper leaves open which criterion and distance it means. Here the label is where it was annotated, not the
    pixel that a caption rounds it to: a perfect caption has an MAE of about 0.4.

    Args:
        thresholds: of the accuracies, in input pixels.
        criterion: 'mean' or 'max': which of the keypoints' distances has to be below the threshold.
        distance: 'euclidean' or 'l1'.
        codec: the config's codec, where captions hold only some of the dataset's keypoints, no whole pixels, or the
            visibility. None is the whole pose in whole pixels.
        per_keypoint: whether the MAE of each keypoint is returned too, as ``MAE/<name>``.
        collect_device, prefix: of MMEngine's ``BaseMetric``.
    """

    default_prefix = 'caption'

    def __init__(self,
                 thresholds: Sequence[float] = (25, 5, 1),
                 criterion: str = 'mean',
                 *,
                 distance: str = 'euclidean',
                 codec: dict | None = None,
                 per_keypoint: bool = False,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        thresholds = [thresholds] if isinstance(thresholds, (int, float)) else [*thresholds]
        if not thresholds or not all(isinstance(value, (int, float)) and value >= 0 for value in thresholds):
            raise ValueError(f'thresholds={thresholds} must be one or more distances in pixels, 0 or more')
        for name, value, allowed in (('criterion', criterion, ('mean', 'max')),
                                     ('distance', distance, ('euclidean', 'l1'))):
            if value not in allowed:
                raise ValueError(f"{name}={value!r} must be '{allowed[0]}' or '{allowed[1]}'")
        self.thresholds = thresholds
        self.criterion = criterion
        self.distance = distance
        self.per_keypoint = per_keypoint
        self.codec = KEYPOINT_CODECS.build(codec) if isinstance(codec, Mapping) else codec
        self._of_visibility = self.codec is not None and not self.codec.has_coordinates

    def process(self, data_batch: Sequence[dict], data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            decoded = self._decode(sample)
            self.results.append((self._measure(sample, decoded), _parses(sample, decoded)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        parts, parsed = zip(*results) if results else ((), ())
        parsed = [part for part in parsed if part is not None]
        errors = PoseErrors.join(parts or [PoseErrors.of_none((self.dataset_meta or {}).get('num_keypoints', 0))])
        metrics = {}
        if not self._of_visibility:
            metrics['MAE'] = errors.mean_distance()
            for threshold in self.thresholds:
                metrics[f'accuracy@{threshold:g}'] = errors.accuracy(threshold, self.criterion)
        else:
            metrics['visibility'] = errors.label_exact_rate()
        metrics['exact'] = errors.exact_rate()
        if parsed:
            metrics['complete'] = errors.complete_rate()
            metrics['parse_rate'] = float(np.mean(parsed))
        names = self._names(errors.labelled.shape[1])
        if self.per_keypoint and not self._of_visibility:
            metrics.update((f'MAE/{name}', value) for name, value in zip(names, errors.keypoint_distance()))
        self._log(errors, names, parsed)
        return metrics

    def _measure(self, sample: Mapping, decoded) -> PoseErrors:
        """The poses of one sample; a top-down model has one."""
        lacking = [key for key in ('input_center', 'input_scale', 'input_size') if key not in sample]
        if lacking:
            raise ValueError(f'{", ".join(lacking)} is missing in the data sample of {sample.get("img_path", "?")}; '
                             'CaptionPoseMetric measures in the input of a top-down model, whose pipeline has a '
                             'transform, such as TopdownAffine, that sets them')
        truth = sample['gt_instances']
        label = to_input_pixels(truth['keypoints'], sample)
        predicted = to_input_pixels(sample['pred_instances']['keypoints'], sample)
        if predicted.shape != label.shape:
            raise ValueError(f'the model predicts {predicted.shape[0]} poses of {predicted.shape[1]} keypoints, and '
                             f'the dataset has {label.shape[0]} of {label.shape[1]}')
        visible = np.asarray(truth['keypoints_visible'])
        visible = visible.reshape(*label.shape[:2], -1)[..., 0] > 0
        size = np.asarray(sample['input_size'])
        asked = self._asked(label, size)
        if self._of_visibility:
            if decoded is None:
                raise ValueError(f'codec of the style {self.codec.style!r} has the visibility alone, and the model '
                                 'writes no captions')
            found = asked & decoded.valid
            right = found & ((decoded.visible > 0) == visible)
            return PoseErrors(np.full(found.shape, np.nan), asked, found, right)
        found = np.ones_like(visible)
        if decoded is not None:
            found = decoded.valid
        elif 'pred_caption' in sample:
            found = np.asarray(sample['pred_caption']['valid'], dtype=bool).reshape(found.shape)
        return measure(predicted, label, visible & asked, found, grid=self._grid(size), l1=self.distance == 'l1')

    def _asked(self, label: np.ndarray, size: np.ndarray) -> np.ndarray:
        """(N, K): the keypoints that a caption has where they are labelled."""
        asked = np.ones(label.shape[:2], dtype=bool)
        if self.codec is None:
            return asked
        if (self.codec.num_keypoints, *self.codec.input_size) != (label.shape[1], *size):
            raise ValueError(f'codec has names for {self.codec.num_keypoints} keypoints and '
                             f'input_size={self.codec.input_size}; the data have {label.shape[1]} and {tuple(size)}')
        asked &= np.isin(np.arange(label.shape[1]), self.codec.joints)
        if self.codec.outside == 'missing':
            asked &= ((np.rint(label) >= 0) & (np.rint(label) < size)).all(-1)
        return asked

    def _decode(self, sample: Mapping):
        caption = sample.get('pred_caption')
        return None if self.codec is None or caption is None else self.codec.decode(caption['caption'])

    def _grid(self, size: np.ndarray) -> PixelGrid:
        """The coordinates that a caption can hold."""
        axes = {} if self.codec is None else {slot.axis: slot for slot in self.codec.template()
                                              if hasattr(slot, 'axis')}
        if not axes:
            return PixelGrid(size - 1)
        first, second, last = ([self.codec.slot_value(axes[axis], axes[axis].choices[place]) for axis in 'xy']
                               for place in (0, min(1, *size - 1), -1))
        return PixelGrid(np.array(last), np.maximum(np.subtract(second, first), 1e-9))

    def _names(self, num_keypoints: int) -> list[str]:
        names = (self.dataset_meta or {}).get('keypoint_id2name') or {}
        return [str(names.get(index, f'keypoint {index}')) for index in range(num_keypoints)]

    def _log(self, errors: PoseErrors, names: Sequence[str], parsed: Sequence[bool]) -> None:
        """A table of the keypoints, and what the numbers count."""
        logger = MMLogger.get_current_instance()
        columns = {'in caption': errors.keypoint_found_rate()} if parsed else {}
        if self._of_visibility:
            columns['visibility'] = errors.keypoint_exact_rate()
        else:
            columns['MAE'] = errors.keypoint_distance()
            for threshold in self.thresholds:
                columns[f'<= {threshold:g} px'] = errors.keypoint_accuracy(threshold)
            columns['exact'] = errors.keypoint_exact_rate()
        lines = [['keypoint', 'labels', *columns]]
        for name, labels, *values in zip(names, errors.labelled.sum(0), *columns.values()):
            lines.append([name, str(labels), *('-' if np.isnan(value) else f'{value:.3f}' for value in values)])
        text = f'{errors.counted.sum()} poses with labels'
        if parsed:
            text += (f'; {errors.complete.sum()} captions have all of them, the others are incorrect '
                     f'and not in the MAE; {sum(parsed)} of {len(parsed)} captions parse')
        logger.info(f'{text}\n{align_columns(lines)}')
        never = [name for name, labelled, found in zip(names, errors.labelled.any(0), errors.found.any(0))
                 if labelled and not found]
        if parsed and never and self.codec is None:
            logger.warning(f'No caption has {", ".join(never)}. If the codec leaves them out, give it to '
                           'CaptionPoseMetric too: codec=codec')


def _parses(sample: Mapping, decoded) -> bool | None:
    """Whether all captions of a sample are as the codec writes them; None of a model that writes none."""
    if 'pred_caption' not in sample:
        return None
    return sample['pred_caption']['ok'] if decoded is None else all(report.ok for report in decoded.report)
