"""Presence labels of the real images."""
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from mmpose.registry import DATASETS
from presence_people import BOX, CROP, FLIP, HALF_BODY, LOAD, MOVE, PACK, PRESENCE, TARGET, presence_of, read

from clamp_mmpose.engine.presence_check import check_presence
from clamp_mmpose.tools.cli import main

REAL_DATA = os.environ.get('CLAMP_MMPOSE_REAL_DATA')
pytestmark = pytest.mark.skipif(not REAL_DATA, reason='CLAMP_MMPOSE_REAL_DATA is not set')


def open_real(kind, ann_file, pipeline):
    path = Path(REAL_DATA, ann_file)
    return DATASETS.build(dict(type=kind, ann_file=str(path), data_prefix=dict(img=str(path.parent)),
                               pipeline=pipeline))


def pipeline(located):
    return [LOAD, dict(PRESENCE, located=located), BOX, *([HALF_BODY] if located else []), FLIP, MOVE, CROP, TARGET,
            PACK]


def test_coco(tmp_path):
    ann_file = Path(REAL_DATA, 'coco', 'test_coco.json')
    assert main(['make-splits', 'locations', '--ann', str(ann_file), '--percent', '25', '--out', str(tmp_path)]) == 0
    (listed, ) = tmp_path.iterdir()
    dataset = open_real('CheckedCocoDataset', 'coco/test_coco.json', pipeline(str(listed)))
    check_presence(dataset, logging.getLogger('check'))
    people = {one['id']: one for one in json.loads(ann_file.read_text())['annotations']}
    located = json.loads(listed.read_text())['located']
    assert len(located) == round(len(dataset) / 4)
    mirror = dataset.metainfo['flip_indices']
    for sample in read(dataset):
        labels, key = sample['data_samples'].gt_instance_labels, sample['data_samples'].id
        expected = np.array(people[key]['keypoints'][2::3])[mirror] > 0
        np.testing.assert_array_equal(presence_of(sample)[0], expected)
        assert bool(labels.keypoint_weights.any()) == (key in located)


def test_mpii(caplog):
    dataset = open_real('CheckedMpiiDataset', 'mpii/test_mpii.json', pipeline(0))
    with caplog.at_level(logging.INFO, logger='check'):
        check_presence(dataset, logging.getLogger('check'))
    records = json.loads(Path(REAL_DATA, 'mpii', 'test_mpii.json').read_text())
    share = np.mean([record['joints_vis'] for record in records])
    assert f'{100 * share:.1f} % of the labels of {len(records)} instances are positive' in caplog.text
    mirror = dataset.metainfo['flip_indices']
    for sample, record in zip(read(dataset), records):
        np.testing.assert_array_equal(presence_of(sample)[0], np.array(record['joints_vis'])[mirror])
