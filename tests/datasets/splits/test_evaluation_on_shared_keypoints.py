"""A model of one dataset is tested on another by MMPose's own classes, as the written config explains."""
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.evaluation.metrics import CocoMetric
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.tools.cli import main

RECIPE = Path(__file__).parents[3] / 'configs/clamp/clamp_tiny_1xb16-30e_toyanimals-128x128.py'
# AP-10K's index at each of Animal-Pose's 20 keypoints, written down by hand; None: ears, throat, withers
AP10K_AT = [0, 1, None, None, 2, None, 4, None, 5, 8, 11, 14, 6, 9, 12, 15, 7, 10, 13, 16]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Toy animals as AP-10K has them and as Animal-Pose would, with what make-splits makes of these."""
    root = tmp_path_factory.mktemp('toy')
    make_toy_dataset(root, train=1, val=6)
    content = json.loads((root / 'annotations/ap10k-val-split1.json').read_text())
    for annotation in content['annotations']:
        points = np.reshape(annotation['keypoints'], (17, 3))
        points = np.stack([np.zeros(3, int) if index is None else points[index] for index in AP10K_AT])
        annotation.update(keypoints=points.ravel().tolist(), num_keypoints=int((points[:, 2] > 0).sum()))
    for category in content['categories']:
        for key in ('keypoints', 'skeleton'):
            category.pop(key, None)
    (root / 'annotations/animalpose_val.json').write_text(json.dumps(content))
    assert main(['make-splits', 'common', '--a', 'ap10k', '--b', 'animalpose', '--b-ann',
                 str(root / 'annotations/animalpose_val.json'), '--out', str(root)]) == 0
    return root


@pytest.fixture
def fragment(folder):
    return Config.fromfile(folder / 'common_ap10k_animalpose.py')


@pytest.fixture
def converted(folder):
    return folder / 'animalpose_val_common-ap10k-animalpose.json'


def predictions(config, tmp_path):
    """What a model with random weights says, and its scores."""
    config.work_dir, config.default_hooks = str(tmp_path), dict(logger=None)
    config.test_dataloader.update(num_workers=0, persistent_workers=False)
    torch.manual_seed(0)
    runner = Runner.from_cfg(config)
    seen = {}
    compute = runner.test_evaluator.metrics[0].compute_metrics

    def keep(results):
        seen.update({pred['id']: np.array(pred['keypoints']) for pred, _ in results})  # before they are converted
        return compute(results)

    runner.test_evaluator.metrics[0].compute_metrics = keep
    return runner.test(), seen


def test_the_config_in_the_comment_tests_a_model(folder, converted, tmp_path, monkeypatch):
    """The flip test makes the same predictions as on AP-10K, and the metric scores 16 keypoints."""
    monkeypatch.setattr(Config, 'pretty_text', '')  # seconds of formatting, for the log alone
    lines = (folder / 'common_ap10k_animalpose.py').read_text().splitlines()
    example = '\n'.join(line[2:] for line in lines if line.startswith('# '))
    example = re.search(r'^_base_ = .*pred_converter=\S+$', example, re.DOTALL | re.MULTILINE).group()
    for placeholder, value in (('CONFIG_OF_THE_MODEL.py', RECIPE), ('data/animalpose/CONVERTED_FILE.json', converted),
                               ('CONVERTED_FILE.json', converted), ('data/animalpose/', f'{folder}/'),
                               ("img=''", "img='data/'")):
        assert placeholder in example
        example = example.replace(placeholder, str(value))
    path = folder / 'on_animalpose.py'
    path.write_text(example)
    config = Config.fromfile(path)
    assert config.model.test_cfg.flip_test and config.test_dataloader.dataset.metainfo == config.common_metainfo
    scores, ours = predictions(config, tmp_path / 'a')
    assert 0 <= scores['coco/AP'] <= 1

    config = Config.fromfile(RECIPE)
    config.test_dataloader.dataset.data_root = f'{folder}/'
    config.test_evaluator.ann_file = f'{folder}/annotations/ap10k-val-split1.json'
    _, official = predictions(config, tmp_path / 'b')
    assert ours.keys() == official.keys() and len(ours) >= 6
    for key, points in ours.items():
        np.testing.assert_array_equal(points, official[key])


def evaluate(metric, metainfo, content, points):
    """The metric's results for predictions of 17 keypoints."""
    metric.dataset_meta = parse_pose_metainfo(metainfo)
    for annotation in content['annotations']:
        metric.process([], [dict(
            id=annotation['id'], img_id=annotation['image_id'], category_id=annotation['category_id'],
            pred_instances=dict(keypoints=points[annotation['id']][None], keypoint_scores=np.ones((1, 17))),
            gt_instances=dict(bbox_scores=np.ones(1)))])
    return metric.evaluate(len(content['annotations']))


def test_the_score_is_that_of_cocoeval_on_the_shared_keypoints(folder, fragment, converted, tmp_path):
    """Oracle: COCOeval in AP-10K's layout, with the neck unlabelled and AP-10K's sigmas."""
    content = json.loads((folder / 'annotations/ap10k-val-split1.json').read_text())
    rng = np.random.default_rng(0)
    points = {a['id']: np.reshape(a['keypoints'], (17, 3))[:, :2] + rng.normal(0, 4, (17, 2))
              for a in content['annotations']}
    metric = CocoMetric(ann_file=str(converted), score_mode='bbox', nms_mode='none',
                        pred_converter=fragment.ap10k_to_common)
    ours = evaluate(metric, fragment.common_metainfo, content, points)

    for annotation in content['annotations']:
        annotation['keypoints'][9:12] = 0, 0, 0
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    truth = COCO(str(tmp_path / 'truth.json'))
    found = truth.loadRes([dict(
        image_id=a['image_id'], category_id=a['category_id'], score=1.,
        keypoints=np.concatenate([points[a['id']], np.ones((17, 1))], axis=1).ravel().tolist())
        for a in content['annotations']])
    sigmas = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/ap10k.py'))['sigmas']
    oracle = COCOeval(truth, found, 'keypoints', sigmas)
    oracle.params.useSegm = None
    oracle.evaluate()
    oracle.accumulate()
    oracle.summarize()
    assert 0.2 < oracle.stats[0] < 0.95
    np.testing.assert_allclose([ours['coco/AP'], ours['coco/AR']], oracle.stats[[0, 5]], rtol=1e-12)


def test_a_perfect_model_is_perfect_at_every_validation(folder, fragment, converted):
    """CocoMetric's gt_converter, which this does without, would convert the annotations a second time."""
    content = json.loads((folder / 'annotations/ap10k-val-split1.json').read_text())
    points = {a['id']: np.reshape(a['keypoints'], (17, 3))[:, :2].astype(float) for a in content['annotations']}
    for wrong in points.values():
        wrong[3] = 0  # the neck does not count
    metric = CocoMetric(ann_file=str(converted), pred_converter=fragment.ap10k_to_common)
    for _ in range(2):
        assert evaluate(metric, fragment.common_metainfo, content, points)['coco/AP'] == 1
