"""What is said of presence labels before training starts."""
import json
import logging

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpose.registry import DATASETS
from presence_people import BOX, CROP, HALF_BODY, LOAD, PACK, PRESENCE, make_people, open_people, with_targets

from clamp_mmpose.engine.presence_check import check_presence

PLAIN = [LOAD, PRESENCE, BOX, CROP, PACK]


@pytest.fixture
def said(caplog):
    """Checks a dataset; returns what was logged."""

    def check(dataset):
        caplog.clear()
        with caplog.at_level(logging.INFO, logger='check'):
            check_presence(dataset, logging.getLogger('check'))
        return [(record.levelname, record.getMessage()) for record in caplog.records]

    return check


def rewrite(folder, change):
    content = json.loads((folder / 'people.json').read_text())
    for annotation in content['annotations']:
        change(annotation)
    (folder / 'people.json').write_text(json.dumps(content))


def test_labels_that_change_are_nothing_to_speak_of(tmp_path, said):
    make_people(tmp_path, number=60)
    assert said(open_people(tmp_path, PLAIN)) == []


def test_a_dataset_whose_labels_are_all_positive_is_warned_of(tmp_path, said):
    make_people(tmp_path, number=5)
    rewrite(tmp_path, lambda one: one.update(keypoints=[20, 20, 2] * 17))
    ((level, text), ) = said(open_people(tmp_path, PLAIN))
    assert level == 'WARNING' and 'coco (' in text and 'people.json' in text
    assert '100.0 % of the labels of 5 instances are positive' in text


def test_keypoints_whose_label_never_changes_are_named(tmp_path, said):
    make_people(tmp_path, number=60)
    rewrite(tmp_path, lambda one: one['keypoints'].__setitem__(slice(0, 6), [9, 9, 2, 0, 0, 0]))
    ((level, text), ) = said(open_people(tmp_path, PLAIN))
    assert level == 'WARNING' and 'nose (always there), left_eye (always missing)' in text and 'right_eye' not in text


def test_hardly_any_missing_label_is_warned_of(tmp_path, said):
    make_people(tmp_path, number=60)
    rewrite(tmp_path, lambda one: one.update(keypoints=[20, 20, 2] * 17 if one['id'] > 101 else one['keypoints']))
    ((_, text), ) = said(open_people(tmp_path, PLAIN))
    assert 'hardly any keypoint is ever missing' in text


def test_data_without_presence_labels_are_left_alone(tmp_path, said):
    make_people(tmp_path, number=5)
    rewrite(tmp_path, lambda one: one.update(keypoints=[20, 20, 2] * 17))
    assert said(open_people(tmp_path, [LOAD, BOX, HALF_BODY, CROP, dict(type='PackPoseInputs')])) == []


def test_a_large_dataset_is_looked_at_in_part(tmp_path, said, monkeypatch):
    make_people(tmp_path, number=60)
    rewrite(tmp_path, lambda one: one.update(keypoints=[20, 20, 2] * 17))
    monkeypatch.setattr('clamp_mmpose.datasets.presence.present_share._SAMPLES', 7)
    assert 'of 7 instances' in said(open_people(tmp_path, PLAIN))[0][1]


@pytest.mark.parametrize('wrap', [
    lambda data: dict(type='RepeatDataset', times=2, dataset=data),
    lambda data: dict(type='ConcatDataset', datasets=[data]),
    lambda data: dict(type='CombinedDataset', datasets=[dict(data, pipeline=[LOAD])], pipeline=PLAIN[1:],
                      metainfo=dict(from_file='configs/_base_/datasets/coco.py')),
], ids=['repeated', 'joined', 'combined'])
def test_datasets_are_found_in_their_wrappers(tmp_path, said, wrap):
    make_people(tmp_path, number=5)
    rewrite(tmp_path, lambda one: one.update(keypoints=[20, 20, 2] * 17))
    data = dict(type='CocoDataset', ann_file='people.json', data_root=str(tmp_path), pipeline=PLAIN)
    ((level, text), ) = said(DATASETS.build(wrap(data)))
    assert level == 'WARNING' and 'people.json' in text


def test_it_is_told_how_many_keep_their_locations(tmp_path, said):
    make_people(tmp_path, number=40)
    (tmp_path / 'list.json').write_text(json.dumps(dict(located=[100, 103, 999])))
    assert said(open_people(tmp_path, with_targets(str(tmp_path / 'list.json'))))[0][1].startswith(
        'GeneratePresence: 2 of 40 instances of coco')


def test_a_list_that_has_nobody_of_the_dataset_is_refused(tmp_path, said):
    make_people(tmp_path)
    (tmp_path / 'list.json').write_text(json.dumps(dict(located=[7, 8])))
    with pytest.raises(ValueError, match='none of the 2 instances'):
        said(open_people(tmp_path, with_targets(str(tmp_path / 'list.json'))))


class Model(BaseModel):

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        raise AssertionError('training has begun')


def test_a_run_stops_before_its_first_step(tmp_path):
    make_people(tmp_path)
    runner = Runner(
        Model(), str(tmp_path), custom_hooks=[dict(type='mmpose.ModelCheckHook')], default_hooks=dict(logger=None),
        train_cfg=dict(by_epoch=True, max_epochs=1), optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        train_dataloader=dict(
            dataset=open_people(tmp_path, [LOAD, BOX, HALF_BODY, PRESENCE, CROP, PACK]), batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=False)))
    with pytest.raises(ValueError, match=r'RandomHalfBody.*accept_location_leak=True'):
        runner.train()
