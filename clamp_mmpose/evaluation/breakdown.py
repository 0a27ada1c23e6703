"""AP, AR and PCK of a data set's species, families and keypoints, with bootstrap intervals."""
from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from xtcocotools.coco import COCO

from .keypoint_hits import find_hits, mean_hits, nan_mean, resample_hits
from .oks_matches import match_category, restrict_instance, restrict_prediction

GROUPS = ('family', 'species', 'keypoint')
SCORES = ('AP', 'AR', 'PCK')


class Estimate(NamedTuple):
    """A score in [0, 1] and its interval; NaN for what there is nothing to measure with."""

    value: float
    low: float = np.nan
    high: float = np.nan


@dataclasses.dataclass(frozen=True)
class BreakdownRow:
    """The scores of one species, family, keypoint or the whole data set, by name of the score.

    ``images`` and ``instances`` count those with a label.
    """

    group: str
    name: str
    images: int
    instances: int
    scores: dict[str, Estimate]


@dataclasses.dataclass(frozen=True)
class CategoryScores:
    """One category: ``value`` (1 + K, 3) of AP, AR and PCK, first of the whole pose and then of each keypoint alone.

    ``samples`` (B, 1 + K, 3): the same of the resampled data sets. ``instances`` (1 + K,): how many have a label;
    ``images``: in which images.
    """

    name: str
    family: str | None
    value: np.ndarray
    samples: np.ndarray
    instances: np.ndarray
    images: list[frozenset]


def score_categories(truth: COCO,
                     predictions: COCO,
                     *,
                     sigmas: Sequence[float],
                     iou_type: str,
                     use_area: bool,
                     with_keypoints: bool,
                     pck_threshold: float,
                     pck_reference: tuple[int, int] | None,
                     num_resamples: int,
                     seed: int) -> list[CategoryScores]:
    """Scores of every category of ``truth``; the bootstrap draws images with replacement, the same for all of them."""
    own, other = _by_category(truth), _by_category(predictions)
    sigmas = np.asarray(sigmas)
    keypoints = range(len(sigmas)) if with_keypoints else ()
    position = {image: place for place, image in enumerate(sorted(truth.getImgIds()))}
    weights = draw_images(len(position), num_resamples, seed)
    repeated = {name for name, count in Counter(category.get('name') for category in truth.cats.values()).items()
                if count > 1}
    categories = []
    for id_, category in sorted(truth.cats.items()):
        instances, found = own[id_], other[id_]
        options = dict(iou_type=iou_type, use_area=use_area)
        matches = [match_category(category, instances, found, sigmas=sigmas, **options)]
        for index in keypoints:
            matches.append(
                match_category(
                    category, [restrict_instance(entry, index) for entry in instances],
                    [restrict_prediction(entry, index) for entry in found], sigmas=sigmas[index:index + 1], **options))
        counted = truth.loadAnns(matches[0].instance.tolist())
        hits = find_hits(counted, found, pck_threshold, pck_reference).reshape(len(counted), len(sigmas))
        columns = [position[image] for image in matches[0].instance_image]
        rows = slice(0, len(matches))
        value = [(match.average_precision, match.average_recall) for match in matches]
        samples = np.stack([match.resample(weights, position) for match in matches], axis=1)
        name = str(category.get('name', id_))
        categories.append(
            CategoryScores(
                name=f'{name} ({id_})' if name in repeated else name,
                family=category.get('supercategory') or None,
                value=np.column_stack([value, mean_hits(hits)[rows]]),
                samples=np.dstack([samples, resample_hits(hits, weights[:, columns])[:, rows]]),
                instances=np.array([len(match.instance) for match in matches]),
                images=[frozenset(match.instance_image.tolist()) for match in matches]))
    return categories


def draw_images(num_images: int, num_resamples: int, seed: int) -> np.ndarray:
    """How often each image is in each resample, (B, num_images)."""
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(num_images, size=num_images) for _ in range(num_resamples))
    weights = np.zeros((num_resamples, num_images), dtype=np.uint16)
    for row, images in zip(weights, drawn):
        row[:] = np.bincount(images, minlength=num_images)
    return weights


def summarize(categories: Sequence[CategoryScores],
              keypoint_names: Sequence[str],
              groups: Sequence[str] = GROUPS,
              confidence: float = 0.95) -> list[BreakdownRow]:
    """A row of everything, then those of ``groups``. What spans several species is the mean over them."""
    rows = [_row('all', '', categories, 0, confidence)]
    families = defaultdict(list)
    for category in categories:
        families[category.family].append(category)
    families.pop(None, None)
    members = dict(
        family=[(name, family, 0) for name, family in families.items()],
        species=[(category.name, [category], 0) for category in categories],
        keypoint=[(name, categories, index) for index, name in enumerate(keypoint_names, 1)])
    for group in groups:
        rows += [_row(group, name, part, index, confidence) for name, part, index in members[group]]
    return rows


def _row(group: str, name: str, categories: Sequence[CategoryScores], index: int, confidence: float) -> BreakdownRow:
    values = np.array([category.value[index] for category in categories]).reshape(len(categories), len(SCORES))
    value = nan_mean(values, axis=0)
    images = frozenset().union(*(category.images[index] for category in categories))
    low, high = np.full((2, len(SCORES)), np.nan)
    # Of a single image, every resample is the same.
    if len(images) > 1 and len(categories[0].samples):
        samples = nan_mean(np.array([category.samples[:, index] for category in categories]), axis=0)
        low, high = _interval(value, samples, confidence)
    return BreakdownRow(
        group=group,
        name=name,
        images=len(images),
        instances=sum(int(category.instances[index]) for category in categories),
        scores={score: Estimate(*map(float, edges)) for score, *edges in zip(SCORES, value, low, high)})


def _interval(value: np.ndarray, samples: np.ndarray, confidence: float) -> np.ndarray:
    """Percentiles of ``samples`` (B, S), (2, S), moved such that their mean is ``value`` (S,).

    Interpolated precision rises where images repeat: AP of the resamples lies above that of the data, for a mean over
    many species so far that percentiles alone leave it out.
    """
    edges = np.full((2, len(value)), np.nan)
    known = ~np.isnan(samples).all(0)
    edges[:, known] = np.nanquantile(samples[:, known], ((1 - confidence) / 2, (1 + confidence) / 2), axis=0)
    return np.clip(edges + value - nan_mean(samples, axis=0), 0, 1)


def _by_category(coco: COCO) -> dict[int, list[dict]]:
    """The entries that COCOeval looks at, in its order."""
    entries = defaultdict(list)
    for entry in coco.loadAnns(coco.getAnnIds(imgIds=sorted(coco.getImgIds()))):
        entries[entry['category_id']].append(entry)
    return entries
