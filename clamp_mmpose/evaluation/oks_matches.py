"""COCO's matching of predictions with the annotated instances of one category, kept for resampling images."""
from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Sequence

import numpy as np
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

_VALUES_AT_ONCE = 4_000_000  # of a bootstrap; 32 MB per array


@dataclasses.dataclass(frozen=True)
class OksMatches:
    """What COCOeval found for one category: N predictions from the highest score down, G instances that count.

    ``average_precision`` and ``average_recall`` are COCOeval's, over its ten OKS thresholds; NaN without instances.
    ``hit`` and ``wrong`` (T, N): per threshold, a true and a false positive; a prediction that is neither was matched
    with something to be ignored. ``image`` (N,) and ``instance_image`` (G,) are ids of images, ``instance`` (G,) of
    annotations.
    """

    average_precision: float
    average_recall: float
    hit: np.ndarray
    wrong: np.ndarray
    image: np.ndarray
    instance: np.ndarray
    instance_image: np.ndarray

    def resample(self, weights: np.ndarray, position: dict) -> np.ndarray:
        """AP and AR, (B, 2), of B data sets in which image i appears ``weights[b, position[i]]`` times.

        NaN where no instance is left. Equals COCOeval on the repeated images, but for the order of equal scores.
        """
        counted = weights[:, [position[image] for image in self.instance_image]].sum(1, dtype=np.int64)
        columns = [position[image] for image in self.image]
        step = max(1, _VALUES_AT_ONCE // max(len(columns), 1))
        parts = [
            self._resample(weights[start:start + step][:, columns], counted[start:start + step])
            for start in range(0, max(len(weights), 1), step)
        ]
        return np.concatenate(parts)

    def _resample(self, weights: np.ndarray, counted: np.ndarray) -> np.ndarray:
        """``weights`` (B, N) of the predictions, ``counted`` (B,) instances."""
        scores = []
        for index, (hit, wrong) in enumerate(zip(self.hit, self.wrong)):
            same = index and (hit == self.hit[index - 1]).all() and (wrong == self.wrong[index - 1]).all()
            scores.append(scores[-1] if same else _precision_recall(weights, hit, wrong, counted))
        scores = np.mean(scores, axis=0)
        scores[counted == 0] = np.nan
        return scores


def match_category(category: dict,
                   instances: Sequence[dict],
                   predictions: Sequence[dict],
                   *,
                   sigmas: np.ndarray,
                   iou_type: str,
                   use_area: bool) -> OksMatches:
    """Runs COCOeval on the annotations and predictions of one ``category``, as they are in xtcocotools' ``COCO``.

    Images with neither are no matter to COCOeval, so they need not be known here.
    """
    images = sorted({entry['image_id'] for entry in (*instances, *predictions)})
    with contextlib.redirect_stdout(io.StringIO()):  # COCOeval prints every step
        coco_eval = COCOeval(
            _index(images, category, instances), _index(images, category, predictions), iou_type, sigmas, use_area)
        params = coco_eval.params
        params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]  # all sizes
        coco_eval.evaluate()
        coco_eval.accumulate()
    # A category without instances that count has -1 everywhere.
    precision, recall = (np.where(coco_eval.eval[name] < 0, np.nan, coco_eval.eval[name]).mean()
                         for name in ('precision', 'recall'))
    found = [entry for entry in coco_eval.evalImgs if entry is not None]
    return _collect(found, len(params.iouThrs), precision, recall)


def restrict_instance(annotation: dict, keypoint: int) -> dict:
    """The annotation with one keypoint alone; its box and area stay. COCO ignores it where that is unlabelled."""
    x, y, label = annotation['keypoints'][3 * keypoint:3 * keypoint + 3]
    labelled = label > 0 and annotation.get('num_keypoints', 1) > 0
    return dict(annotation, keypoints=[x, y, label], num_keypoints=int(labelled))


def restrict_prediction(prediction: dict, keypoint: int) -> dict:
    """The prediction with one keypoint alone; its box, area and score stay.

    The keypoint counts whatever its own score, as in COCO's OKS, unless COCO leaves out the whole prediction because no
    keypoint has a score above 0.
    """
    x, y = prediction['keypoints'][3 * keypoint:3 * keypoint + 2]
    if not np.isfinite([x, y]).all():
        x = y = np.inf  # to COCOeval, NaN is a match
    return dict(prediction, keypoints=[x, y, max(prediction['keypoints'][2::3])])


def _collect(found: list[dict], num_thresholds: int, precision: float, recall: float) -> OksMatches:
    """Joins the images' results as COCOeval.accumulate does, ties included."""
    if not found:
        empty = np.zeros(0, dtype=int)
        none = np.zeros((num_thresholds, 0), dtype=bool)
        return OksMatches(np.nan, np.nan, none, none, empty, empty, empty)
    order = np.argsort(-np.concatenate([entry['dtScores'] for entry in found]), kind='mergesort')
    matched = np.concatenate([entry['dtMatches'] for entry in found], axis=1)[:, order] >= 0
    ignored = np.concatenate([entry['dtIgnore'] for entry in found], axis=1)[:, order].astype(bool)
    counts = [len(entry['dtIds']) for entry in found]
    instances = [(id_, entry['image_id']) for entry in found
                 for id_, ignore in zip(entry['gtIds'], entry['gtIgnore']) if not ignore]
    return OksMatches(
        average_precision=float(precision),
        average_recall=float(recall),
        hit=matched & ~ignored,
        wrong=~matched & ~ignored,
        image=np.repeat([entry['image_id'] for entry in found], counts)[order],
        instance=np.array([id_ for id_, _ in instances]),
        instance_image=np.array([image for _, image in instances]))


def _precision_recall(weights: np.ndarray, hit: np.ndarray, wrong: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """AP and AR, (B, 2), at one threshold: the mean of COCO's interpolated precision at its 101 recalls."""
    B, N = weights.shape
    if not N:
        return np.zeros((B, 2))
    hits = np.cumsum(weights * hit, axis=1, dtype=np.float64)
    wrongs = np.cumsum(weights * wrong, axis=1, dtype=np.float64)
    precision = hits / (hits + wrongs + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / np.maximum(counted, 1)[:, None]
    # How many of the 101 recalls are reached here and were not before; recall 0 is reached by the first.
    levels = np.linspace(0, 1, 101)
    reached = np.searchsorted(levels, recall, side='right')
    reached[:, 1:] -= reached[:, :-1]
    return np.stack([(precision * reached).sum(1) / len(levels), recall[:, -1]], axis=1)


def _index(images: Sequence[int], category: dict, entries: Sequence[dict]) -> COCO:
    coco = COCO()
    coco.dataset = dict(images=[dict(id=image) for image in images], categories=[category], annotations=list(entries))
    coco.createIndex()
    return coco
