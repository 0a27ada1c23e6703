"""The bootstrap against the slow way: write the repeated images into a data set and let COCOeval run on it."""
import contextlib
import copy
import io

import numpy as np
import pytest
from animal_results import NAMES, SIGMAS, K, breakdown, make_animals
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from clamp_mmpose.evaluation.breakdown import CategoryScores, draw_images, score_categories, summarize
from clamp_mmpose.evaluation.keypoint_hits import find_hits
from clamp_mmpose.evaluation.oks_matches import OksMatches, match_category

OPTIONS = dict(iou_type='keypoints', use_area=True, with_keypoints=True, pck_threshold=0.2, pck_reference=None)


@pytest.fixture(autouse=True)
def quiet():
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def results_of(samples):
    results = []
    for sample in samples:
        found = sample['pred_instances']
        x, y, right, bottom = found['bboxes'][0].tolist()
        points = np.column_stack([found['keypoints'][0], found['keypoint_scores'][0]])
        results.append(
            dict(image_id=sample['img_id'], category_id=sample['category_id'], bbox=[x, y, right - x, bottom - y],
                 keypoints=points.reshape(-1).tolist(), score=float(sample['gt_instances']['bbox_scores'][0])))
    return results


def index(truth, results):
    coco = COCO()
    coco.dataset = copy.deepcopy(truth)
    coco.createIndex()
    return coco, coco.loadRes(copy.deepcopy(results))


def repeat(truth, results, counts):
    """Each image as often as ``counts`` says, under a new id each time."""
    images, annotations, found = [], [], []
    for image, count in zip(truth['images'], counts):
        for _ in range(count):
            new = len(images) + 1
            images.append(dict(image, id=new))
            annotations += [dict(entry, image_id=new, id=1000 * new + entry['id']) for entry in truth['annotations']
                            if entry['image_id'] == image['id']]
            found += [dict(entry, image_id=new) for entry in results if entry['image_id'] == image['id']]
    return dict(truth, images=images, annotations=annotations), found


def coco_numbers(truth, results, category_id):
    coco, found = index(truth, results)
    coco_eval = COCOeval(coco, found, 'keypoints', np.array(SIGMAS))
    coco_eval.params.catIds = [category_id]
    coco_eval.evaluate()
    coco_eval.accumulate()
    coco_eval.summarize()
    return np.array([np.nan if value < 0 else value for value in coco_eval.stats[[0, 5]]])


def pck(truth, results, category_id):
    hits = find_hits([entry for entry in truth['annotations'] if entry['category_id'] == category_id],
                     [entry for entry in results if entry['category_id'] == category_id], 0.2)
    shares = [column[column >= 0].mean() for column in hits.T if (column >= 0).any()]
    return np.mean(shares) if shares else np.nan


def test_every_resample_has_coco_evals_numbers():
    truth, samples = make_animals(num_images=9, detections=3, seed=2)
    results = results_of(samples)
    categories = score_categories(*index(truth, results), sigmas=SIGMAS, num_resamples=12, seed=4, **OPTIONS)
    counts = draw_images(9, 12, 4)
    assert (counts.sum(1) == 9).all() and (counts == 0).any() and (counts > 1).any()
    unseen = 0
    for row, repeated in enumerate(repeat(truth, results, count) for count in counts):
        for category, id_ in zip(categories, (1, 2, 5, 9)):
            expected = coco_numbers(*repeated, id_)
            np.testing.assert_allclose(category.samples[row, 0, :2], expected, rtol=1e-9)
            np.testing.assert_allclose(category.samples[row, 0, 2], pck(*repeated, id_), rtol=1e-9)
            unseen += np.isnan(expected).all()
    assert 0 < unseen < 24


def test_resamples_of_a_keypoint_are_those_of_its_part_of_the_data():
    truth, samples = make_animals(num_images=9, detections=2, seed=2)
    results = results_of(samples)
    categories = score_categories(*index(truth, results), sigmas=SIGMAS, num_resamples=6, seed=4, **OPTIONS)
    place = NAMES.index('tail')
    for entry in (*truth['annotations'], *results):
        entry['keypoints'] = entry['keypoints'][3 * place:3 * place + 3]
    alone = score_categories(
        *index(truth, results), sigmas=SIGMAS[place:], num_resamples=6, seed=4, **dict(OPTIONS, with_keypoints=False))
    for category, own in zip(categories, alone):
        np.testing.assert_allclose(category.samples[:, 1 + place], own.samples[:, 0])


def test_no_resampling_is_the_data_itself():
    truth, samples = make_animals(detections=3)
    coco, found = index(truth, results_of(samples))
    matches = match_category(truth['categories'][0], coco.loadAnns(coco.getAnnIds(catIds=[1])),
                             found.loadAnns(found.getAnnIds(catIds=[1])), sigmas=np.array(SIGMAS), iou_type='keypoints',
                             use_area=True)
    position = {image['id']: place for place, image in enumerate(truth['images'])}
    np.testing.assert_allclose(
        matches.resample(np.ones((1, len(position)), dtype=np.uint16), position)[0],
        [matches.average_precision, matches.average_recall], rtol=1e-12)


def test_many_predictions_are_resampled_in_parts(monkeypatch):
    truth, samples = make_animals(detections=3)
    coco = index(truth, results_of(samples))
    options = dict(sigmas=SIGMAS, num_resamples=7, seed=0, **OPTIONS)
    whole = score_categories(*coco, **options)
    monkeypatch.setattr('clamp_mmpose.evaluation.oks_matches._VALUES_AT_ONCE', 40)
    for part, category in zip(score_categories(*coco, **options), whole):
        np.testing.assert_array_equal(part.samples, category.samples)


def test_intervals_depend_on_the_seed_and_hold_the_score(tmp_path):
    truth, samples = make_animals(num_images=40)
    tables = [breakdown(truth, copy.deepcopy(samples), tmp_path, bootstrap=100, seed=seed) for seed in (0, 0, 1)]
    assert tables[0] == tables[1] != tables[2]
    for row in tables[0].values():
        for score in ('AP', 'AR', 'PCK'):
            low, value, high = (float(row[f'{score}{end}']) for end in ('_low', '', '_high'))
            assert 0 <= low <= value <= high <= 1
            assert high - low > 0.01


def test_a_higher_confidence_has_wider_intervals(tmp_path):
    truth, samples = make_animals(num_images=40)
    widths = []
    for confidence in (0.5, 0.95):
        row = breakdown(truth, copy.deepcopy(samples), tmp_path, bootstrap=100, confidence=confidence)['all', '']
        widths.append(float(row['AP_high']) - float(row['AP_low']))
    assert 0 < widths[0] < widths[1]


def test_no_interval_without_resamples_or_of_a_single_image(tmp_path):
    truth, samples = make_animals(num_images=40)
    assert breakdown(truth, copy.deepcopy(samples), tmp_path, bootstrap=0)['all', '']['AP_low'] == ''
    first = next(entry for entry in truth['annotations'] if entry['category_id'] == 9)
    truth['annotations'] = [entry for entry in truth['annotations'] if entry['category_id'] != 9] + [first]
    row = breakdown(truth, samples, tmp_path, bootstrap=50)['species', 'horse']
    assert row['images'] == '1' and row['AP'] and row['AP_low'] == row['PCK_high'] == ''


def scores(value, samples):
    """A category whose whole-pose scores are given."""
    samples = np.array(samples, dtype=float)
    return CategoryScores(name='cat', family=None, value=np.full((1, 3), value), images=[frozenset([1, 2])],
                          samples=np.repeat(samples[:, None, None], 3, axis=2), instances=np.array([2]))


def test_an_interval_is_moved_by_the_resamples_bias():
    """AP rises where images repeat; here by 0.1."""
    around = np.linspace(0.4, 0.6, 201)
    row, = summarize([scores(0.4, around)], [], [], confidence=0.9)
    np.testing.assert_allclose(row.scores['AP'], (0.4, 0.31, 0.49), atol=1e-9)


def test_a_mean_over_species_has_those_that_are_in_the_resample():
    row, = summarize([scores(0.2, [0.2, np.nan, 0.2]), scores(0.6, [0.6, 0.6, np.nan])], [], [], confidence=0.998)
    # The means are 0.4, 0.6 and 0.2.
    np.testing.assert_allclose(row.scores['AP'], (0.4, 0.2, 0.6), atol=1e-3)


def test_a_category_without_predictions_or_instances():
    empty = OksMatches(np.nan, np.nan, *(np.zeros((10, 0), bool), ) * 2, *(np.zeros(0, int), ) * 3)
    assert np.isnan(empty.resample(np.ones((3, 2), dtype=np.uint16), {1: 0, 2: 1})).all()
    categories = score_categories(*index(dict(images=[], annotations=[], categories=[]), []), sigmas=[1.0] * K,
                                  num_resamples=3, seed=0, **OPTIONS)
    row, *_ = summarize(categories, NAMES)
    assert row.images == row.instances == 0 and np.isnan(row.scores['AP'].value)
