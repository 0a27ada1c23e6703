"""LOFR's recipes with the real tools, as a user runs them: without locations, with some, and each ablation.

CLAMP_MMPOSE_REAL_DATA names a folder with ``coco/test_coco.json``, ``mpii/test_mpii.json`` and their images.
"""
import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from mim_runs import losses, mim
from mmengine.config import Config

from clamp_mmpose.datasets.toy import make_toy_dataset
from clamp_mmpose.testing import shrink_model
from clamp_mmpose.tools import cli

DATA = os.environ.get('CLAMP_MMPOSE_REAL_DATA')
CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'lofr'
SETTINGS, SIZE = '1xb16-30e_toypeople', '128x128'
FREE, SHARED = f'lofr_tiny_{SETTINGS}-{SIZE}', f'lofr_tiny_{SETTINGS}-25pct-{SIZE}'
WINDOWS = f'lofr_tiny_1xb16-6e_toypeople-windows-{SIZE}'
MPII = f'lofr_tiny_{SETTINGS}-mpii-{SIZE}'
ABLATIONS = [f'lofr_tiny-{row}_{SETTINGS}-{SIZE}' for row in (
    'base', 'spe', 'ms', 'reppg', 'pdc', 'spe-ms', 'reppg-pdc')]
PARTS = ('loss', 'loss_cls_cnn', 'loss_cls_encoder', 'loss_cls_decoder', 'loss_diversity', 'loss_kpt')

DELTA = """
_base_ = [{config!r}]
train_cfg = dict(max_epochs={epochs}, val_interval={epochs})
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1, save_best=None, max_keep_ckpts=-1))
train_dataloader = dict(batch_size=4, dataset=dict(data_root={data!r}))
val_dataloader = dict(batch_size=4, dataset=dict(data_root={data!r}))
test_dataloader = val_dataloader
"""
COCO = """
val_evaluator = dict(ann_file={data!r} + 'annotations/person_keypoints_val.json')
test_evaluator = val_evaluator
"""
HEADS = """
val_dataloader['dataset']['headbox_file'] = {data!r} + 'annotations/mpii_gt_val.mat'
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('some people')  # a path with spaces
    make_toy_dataset(folder / 'toy', kind='people', train=6, val=3, seed=1)
    return folder


def train(folder, name, *options, epochs=1):
    """Trains a shipped recipe on few people; returns its config and its work directory."""
    data, config, work = f'{folder}/toy/', folder / f'{name}.py', folder / name
    if not config.exists():
        text = DELTA + (HEADS if name == MPII else COCO)
        config.write_text(text.format(config=str(CONFIGS / f'{name}.py'), data=data, epochs=epochs))
    mim('train', 'mmpose', config, '--work-dir', work, *options)
    return config, work


def run_test(config, checkpoint, *options):
    out = config.with_suffix('.json')
    mim('test', 'mmpose', config, '--checkpoint', checkpoint, '--work-dir', config.parent / 'test', '--out', out,
        *(['--cfg-options', *options] if options else []))
    return json.loads(out.read_text())


def test_training_without_locations_resumes_to_the_same_losses_and_is_tested(folder):
    config, work = train(folder, FREE, epochs=2)
    rows = losses(work, 2, PARTS)
    assert rows and all(None not in row[:5] and row[5] is None for row in rows)

    interrupted = folder / 'interrupted'
    interrupted.mkdir()
    shutil.copy(work / 'epoch_1.pth', interrupted)
    (interrupted / 'last_checkpoint').write_text(str(interrupted / 'epoch_1.pth'))
    mim('train', 'mmpose', config, '--work-dir', interrupted, '--resume')
    assert losses(interrupted, 2, PARTS) == rows and not losses(interrupted, 1, PARTS)

    metrics = run_test(config, work / 'epoch_2.pth', 'model.test_cfg.flip_test=True')
    assert {'coco/AP', 'coco/AR'} <= metrics.keys()
    other = run_test(config, work / 'epoch_2.pth', 'model.test_cfg.predict_from=activation')
    assert 'coco/AP' in other


def test_training_with_some_locations_has_a_heatmap_loss_for_them(folder):
    config, work = train(folder, SHARED, epochs=2)
    rows = losses(work, 1, PARTS) + losses(work, 2, PARTS)
    assert all(None not in row for row in rows)
    assert any(row[-1] > 0 for row in rows)
    assert 'coco/AP' in run_test(config, work / 'epoch_2.pth')


def test_a_table_of_windows_is_enough_to_train(folder):
    for coordinates in ('person_keypoints_train.json', 'mpii_train.json'):
        os.rename(folder / f'toy/annotations/{coordinates}', folder / coordinates)
    try:
        config, work = train(folder, WINDOWS, '--cfg-options', 'train_dataloader.batch_size=16')
    finally:
        for coordinates in ('person_keypoints_train.json', 'mpii_train.json'):
            os.rename(folder / coordinates, folder / f'toy/annotations/{coordinates}')
    assert losses(work, 1, PARTS)
    assert 'coco/AP' in run_test(config, work / 'epoch_1.pth')


def test_people_by_mpii_are_tested_by_pckh(folder):
    config, work = train(folder, MPII)
    assert 'PCK' in run_test(config, work / 'epoch_1.pth')


@pytest.mark.slow
@pytest.mark.parametrize('name', ABLATIONS)
def test_an_ablation_trains_and_is_tested(name, folder):
    config, work = train(folder, name)
    rows = losses(work, 1, PARTS)
    assert rows and all((row[4] is not None) == ('pdc' in name) for row in rows)
    assert 'coco/AP' in run_test(config, work / 'epoch_1.pth')


CROWD = """
_base_ = [{config!r}]
train_cfg = dict(max_epochs=1)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1, save_best=None))
model = dict({model!r}, _delete_=True)
few = dict(data_root={data!r}, data_prefix=dict(img='data/'))
train_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(few, ann_file='crowd_train.json'))
val_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(few, ann_file='crowd_val.json', bbox_file=''))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file={data!r} + 'crowd_val.json')
test_evaluator = val_evaluator
"""


def write_crowdpose(source, target):
    """COCO's annotations as those of CrowdPose: shoulders to ankles, the nose as head top, the neck between shoulders;
    and an easy, a medium and a hard picture."""
    content = json.loads(source.read_text())
    for image, index in zip(content['images'], itertools.cycle((0.05, 0.5, 0.9))):
        image['crowdIndex'] = index
    for annotation in content['annotations']:
        points = np.array(annotation['keypoints'], dtype=float).reshape(17, 3)
        shoulders = points[5:7]
        neck = np.append(shoulders[:, :2].mean(0), shoulders[:, 2].min())
        points = np.concatenate([points[5:], points[:1], neck[None]])
        annotation.update(keypoints=points.ravel().tolist(), num_keypoints=int((points[:, 2] > 0).sum()))
    content['categories'][0]['keypoints'] = [f'keypoint {index}' for index in range(14)]
    target.write_text(json.dumps(content))


@pytest.mark.slow
def test_crowdpose_is_tested_by_crowding(folder):
    for split in ('train', 'val'):
        write_crowdpose(folder / 'toy' / 'annotations' / f'person_keypoints_{split}.json',
                        folder / 'toy' / f'crowd_{split}.json')
    shipped = CONFIGS / 'lofr_res50_4xb32-210e_crowdpose-256x192.py'
    model = shrink_model(Config.fromfile(shipped).model).to_dict()
    config = folder / 'crowd.py'
    config.write_text(CROWD.format(config=str(shipped), model=model, data=f'{folder}/toy/'))
    mim('train', 'mmpose', config, '--work-dir', folder / 'crowd')
    metrics = run_test(config, folder / 'crowd' / 'epoch_1.pth')
    assert {f'crowdpose/AP{level}' for level in ('', '(E)', '(M)', '(H)')} <= metrics.keys()


REAL = """
_base_ = [{config!r}]
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1, save_best=None))
model = {model}
few = dict(data_root={data!r}, data_prefix=dict(img=''))
train_dataloader = dict(batch_size=4, num_workers=0, dataset=dict(few, ann_file={train!r}))
val_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(few, ann_file={val!r}, {more}))
test_dataloader = val_dataloader
"""


@pytest.mark.skipif(not DATA, reason='CLAMP_MMPOSE_REAL_DATA names no folder of real images')
@pytest.mark.parametrize('narrow', [True, pytest.param(False, marks=pytest.mark.slow)], ids=['narrow', 'full-size'])
@pytest.mark.parametrize('name', ['lofr_res50_4xb32-160e_coco-25pct-256x192', 'lofr_res50_4xb32-160e_mpii-256x256'])
def test_an_epoch_on_real_images(name, narrow, tmp_path):
    dataset = 'coco' if 'coco' in name else 'mpii'
    data, config = f'{Path(DATA).resolve()}/{dataset}/', tmp_path / 'config.py'
    if dataset == 'coco':
        train = val = 'test_coco.json'
        more = "bbox_file=''"
        evaluator = f"val_evaluator = dict(ann_file={data + train!r})\ntest_evaluator = val_evaluator\n"
    else:
        assert cli.main(['prepare-mpii-captions', f'{data}test_mpii.json', '--out', str(tmp_path)]) == 0
        train, val = (str(tmp_path / f'mpii_captions_{split}.json') for split in ('train', 'val'))
        more, evaluator = f"headbox_file={str(tmp_path / 'mpii_captions_gt_val.mat')!r}", ''
    shipped = CONFIGS / f'{name}.py'
    model = 'dict(backbone=dict(init_cfg=None))'
    if narrow:
        model = f'dict({shrink_model(Config.fromfile(shipped).model).to_dict()}, _delete_=True)'
    config.write_text(
        REAL.format(config=str(shipped), data=data, train=train, val=val, more=more, model=model) + evaluator)
    mim('train', 'mmpose', config, '--work-dir', tmp_path / 'work')
    rows = losses(tmp_path / 'work', 1, PARTS)
    assert rows and (any(row[5] for row in rows) if 'pct' in name else all(row[5] is None for row in rows))
    metrics = run_test(config, tmp_path / 'work' / 'epoch_1.pth')
    assert {'coco/AP', 'coco/AR'} <= metrics.keys() if dataset == 'coco' else 'PCK' in metrics
