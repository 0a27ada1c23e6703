"""The metric on annotations that people made; the folder is named by CLAMP_MMPOSE_REAL_DATA."""
import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import METRICS

DATA = Path(os.environ.get('CLAMP_MMPOSE_REAL_DATA', ''))


@pytest.mark.skipif('CLAMP_MMPOSE_REAL_DATA' not in os.environ, reason='CLAMP_MMPOSE_REAL_DATA names no folder')
@pytest.mark.parametrize('name, boxes', [('ap10k', None), ('coco', None), ('coco', 'test_coco_det_AP_H_56.json')])
def test_real_annotations_have_coco_metrics_numbers(name, boxes, tmp_path):
    path = DATA / name / f'test_{name}.json'
    meta = parse_pose_metainfo(dict(from_file=f'configs/_base_/datasets/{name}.py'))
    truth = json.loads(path.read_text())
    rng = np.random.default_rng(0)
    samples = []
    if boxes is None:
        for annotation in truth['annotations']:
            points = np.reshape(annotation['keypoints'], (-1, 3))[:, :2] + rng.normal(size=(17, 2)) * 4
            samples.append((annotation, annotation['bbox'], 1.0, points))
    else:
        for found in json.loads((DATA / name / boxes).read_text()):
            corner, size = np.array(found['bbox'][:2]), np.array(found['bbox'][2:])
            samples.append((found, found['bbox'], found['score'], corner + rng.random((17, 2)) * size))
    samples = [
        dict(id=index, img_id=entry['image_id'], category_id=entry['category_id'],
             pred_instances=dict(keypoints=points[None], keypoint_scores=rng.uniform(0.3, 1, (1, 17)),
                                 bboxes=np.array([[x, y, x + w, y + h]])),
             gt_instances=dict(bbox_scores=np.array([score])))
        for index, (entry, (x, y, w, h), score, points) in enumerate(samples)
    ]
    results = []
    for kind in ('CocoMetric', 'SpeciesCocoMetric'):
        metric = METRICS.build(dict(type=kind, ann_file=str(path), outfile_prefix=str(tmp_path / kind)))
        metric.dataset_meta = copy.deepcopy(meta)
        metric.process(None, copy.deepcopy(samples))
        results.append(metric.evaluate(len(samples)))
    assert results[0] == results[1] and results[0]['coco/AP'] >= 0
    assert len((tmp_path / 'SpeciesCocoMetric.species.csv').read_text().splitlines()) > 19
