"""The worked example of configs/blip/README.md, on toy people with some of their joints under other names."""
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.models import build_pose_estimator
from mmpose.registry import DATASETS, METRICS

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.engine.hooks import ModelCheckHook
from clamp_mmpose.testing import randomize, shrink_model

FOLDER = Path(__file__).parents[2] / 'configs' / 'blip'
CODE = re.search(r'<!-- example: own -->\n```python\n(.*?)```', (FOLDER / 'README.md').read_text(), re.DOTALL).group(1)
OF_COCO = [0, 9, 10, 15, 16]  # nose, wrists, ankles
MISSING = 2


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """The example with data: five keypoints of each person, the third one never annotated in the first of them."""
    folder = tmp_path_factory.mktemp('own')
    make_toy_dataset(folder / 'toy', kind='people', train=4, val=4)
    (folder / 'images').symlink_to(folder / 'toy' / 'data')
    for split in ('train', 'val'):
        content = json.loads((folder / f'toy/annotations/person_keypoints_{split}.json').read_text())
        for number, person in enumerate(content['annotations']):
            points = np.reshape(person['keypoints'], (17, 3))[OF_COCO]
            points[:, 2] = 2
            if number == 0:
                points[MISSING] = 0
            person.update(keypoints=points.ravel().tolist(), num_keypoints=int((points[:, 2] > 0).sum()))
        content['categories'] = [dict(id=1, name='gull', keypoints=list('abcde'), skeleton=[])]
        (folder / f'{split}.json').write_text(json.dumps(content))
    path = folder / 'gulls.py'
    code = CODE.replace('/path/to/clamp_mmpose/configs/blip', FOLDER.as_posix()).replace('data/gulls/', f'{folder}/')
    path.write_text(code)
    init_default_scope('mmpose')
    return Config.fromfile(path)


@pytest.fixture
def model(config):
    return randomize(build_pose_estimator(shrink_model(config.model)))


def test_captions_have_the_names_and_lack_what_is_not_annotated(config):
    dataset = DATASETS.build(dict(config.train_dataloader.dataset, pipeline=[
        step for step in config.train_pipeline if not step.type.startswith('Random')]))
    for index in range(len(dataset)):
        caption, = dataset[index]['data_samples'].gt_instance_labels.caption
        words = [part.split(':')[0] for part in caption.split()]
        assert words == [word for word in config.codec.names if word in words]
        assert 'rwing' not in words if index == 0 else words
    assert dataset.metainfo['flip_indices'] == [0, 2, 1, 4, 3]


def test_it_trains_predicts_and_is_measured(config, model):
    train, val = (DATASETS.build(config[f'{stage}_dataloader'].dataset) for stage in ('train', 'val'))
    ModelCheckHook()._compare_caption_names(model.codec.names, train.metainfo)
    batch = pseudo_collate([train[index] for index in range(2)])
    losses = model.train()(**model.data_preprocessor(batch, True), mode='loss')
    assert torch.isfinite(losses['loss_caption'])
    with torch.no_grad():
        samples = model.eval().test_step(pseudo_collate([val[index] for index in range(len(val))]))
    assert samples[0].pred_instances.keypoints.shape == (1, 5, 2)
    found = {}
    for evaluator in config.val_evaluator:
        metric = METRICS.build(evaluator)
        metric.dataset_meta = val.metainfo
        metric.process(None, [sample.to_dict() for sample in samples])
        found.update(metric.evaluate(len(val)))
    assert found['caption/parse_rate'] == 1 and found['coco/AP'] >= 0
    best = config.default_hooks.checkpoint.save_best
    assert best in found


def test_the_codec_agrees_wherever_it_stands(config):
    assert config.model.codec == config.codec == config.val_evaluator[1].codec == config.test_evaluator[1].codec
    assert [step.encoder for step in config.train_dataloader.dataset.pipeline if 'encoder' in step] == [config.codec]
