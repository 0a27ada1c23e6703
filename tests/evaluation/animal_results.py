"""Made-up annotations and predictions of animals, as MMPose hands them to a metric."""
import csv
import json

import numpy as np
from mmpose.registry import METRICS

K = 4
NAMES = ['left eye', 'right eye', 'nose', 'tail']
SIGMAS = [0.025, 0.025, 0.026, 0.08]
SPECIES = {1: ('cat', 'Felidae'), 2: ('lion', 'Felidae'), 5: ('dog', 'Canidae'), 9: ('horse', 'Equidae')}


def meta():
    """As a dataset gives it; a metric may change it, so there is a new one each time."""
    return dict(
        dataset_name='animals',
        num_keypoints=K,
        sigmas=np.array(SIGMAS),
        keypoint_id2name=dict(enumerate(NAMES)),
        CLASSES=categories())


def categories(species=SPECIES):
    return [dict(id=id_, name=name, supercategory=family) for id_, (name, family) in species.items()]


def make_animals(num_images=14, seed=0, detections=1, species=tuple(SPECIES)):
    """A COCO dict of one to three animals per image, and one to ``detections`` predictions for each.

    Some labels are missing; some predictions are close, some are far off.
    """
    rng = np.random.default_rng(seed)
    images = [dict(id=7 * index + 3, width=400, height=300, file_name=f'{index}.jpg', crowdIndex=rng.random())
              for index in range(num_images)]
    annotations, samples = [], []
    for image in images:
        for _ in range(rng.integers(1, 4)):
            size, corner = rng.uniform(60, 140, 2), rng.uniform(0, 150, 2)
            points = corner + rng.uniform(0, 1, (K, 2)) * size
            visible = 2 * (rng.random(K) < 0.75)
            annotation = dict(
                id=len(annotations) + 1,
                image_id=image['id'],
                category_id=int(rng.choice(species)),
                bbox=[*corner, *size],
                area=float(size.prod() * 0.7),
                iscrowd=0,
                num_keypoints=int((visible > 0).sum()),
                keypoints=np.column_stack([points * (visible > 0)[:, None], visible]).reshape(-1).tolist())
            annotations.append(annotation)
            for _ in range(rng.integers(1, detections + 1)):
                error = rng.normal(size=(K, 2)) * rng.choice([1, 6, 40], p=[0.4, 0.4, 0.2])
                samples.append(make_sample(annotation, points + error, rng, id=len(samples), image=image))
    return dict(images=images, annotations=annotations, categories=categories()), samples


def make_sample(annotation, keypoints, rng, *, id, image):
    x, y, w, h = annotation['bbox']
    return dict(
        id=id,
        img_id=annotation['image_id'],
        category_id=annotation['category_id'],
        ori_shape=(300, 400),
        crowd_index=image['crowdIndex'],
        raw_ann_info=annotation,
        pred_instances=dict(
            keypoints=keypoints[None].copy(),
            keypoint_scores=rng.uniform(0.1, 1, (1, K)),
            bboxes=np.array([[x, y, x + w, y + h]])),
        gt_instances=dict(bbox_scores=rng.uniform(0.2, 1, 1), bbox_scales=np.array([[w, h]])))


def evaluate(kind, truth, samples, folder, **options):
    """What the metric of this kind returns; its annotation file lies in ``folder``."""
    path = folder / 'annotations.json'
    path.write_text(json.dumps(truth))
    options.setdefault('ann_file', str(path))
    metric = METRICS.build(dict(type=kind, **options))
    metric.dataset_meta = meta()
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def breakdown(truth, samples, folder, **options):
    """(group, name) -> the row of the CSV file."""
    path = folder / 'table.csv'
    evaluate('SpeciesCocoMetric', truth, samples, folder, csv_file=str(path), **options)
    return read_rows(path)


def read_rows(path):
    with open(path, newline='') as file:
        return {(row['group'], row['name']): row for row in csv.DictReader(file)}


def only(truth, samples, category_id):
    """The part of one species: its annotations and predictions; all images stay."""
    truth = dict(truth, annotations=[entry for entry in truth['annotations'] if entry['category_id'] == category_id])
    return truth, [sample for sample in samples if sample['category_id'] == category_id]
