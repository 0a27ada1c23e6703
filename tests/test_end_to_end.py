"""The real tools on generated animals, as a user runs them: train, test, resume, and the inferencer."""
import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mim_runs import losses, mim

from clamp_mmpose.datasets.toy import make_toy_dataset

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs' / 'clamp' / 'clamp_tiny_1xb16-30e_toyanimals-128x128.py'

DELTA = """
_base_ = [{config!r}]
data_root = {data!r}
train_cfg = dict(max_epochs=2, val_interval=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1, max_keep_ckpts=-1))
model = dict(backbone=dict(drop_path_rate=0.2))
train_dataloader = dict(batch_size=4, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/ap10k-val-split1.json')
test_evaluator = val_evaluator
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A folder with data, a config of two epochs, and ``straight``, the work directory of its training."""
    folder = tmp_path_factory.mktemp('end to end')  # a path with spaces
    make_toy_dataset(folder / 'toy', kind='animals', train=8, val=4, seed=1)
    (folder / 'config.py').write_text(DELTA.format(config=str(CONFIG), data=f'{folder}/toy/'))
    mim('train', 'mmpose', folder / 'config.py', '--work-dir', folder / 'straight')
    return folder


def test_train_then_test_reports_ap(trained):
    assert (trained / 'straight' / 'epoch_2.pth').exists()
    mim('test', 'mmpose', trained / 'config.py', '--checkpoint', trained / 'straight' / 'epoch_2.pth', '--work-dir',
        trained / 'test', '--out', trained / 'test' / 'metrics.json')
    metrics = json.loads((trained / 'test' / 'metrics.json').read_text())
    assert 0 <= metrics['coco/AP'] <= 1 and 'coco/AR' in metrics


def test_any_config_is_tested_by_species_with_one_option(trained):
    folder = trained / 'by species'
    output = mim('test', 'mmpose', trained / 'config.py', '--checkpoint', trained / 'straight' / 'epoch_2.pth',
                 '--work-dir', folder, '--out', folder / 'metrics.json', '--cfg-options',
                 'test_evaluator.type=SpeciesCocoMetric', "test_evaluator.returned=['family']")
    metrics = json.loads((folder / 'metrics.json').read_text())
    # The table is in the log and beside it.
    assert re.search(r'^species +arctic fox +\d+ +\d+ ', output, re.MULTILINE)
    path, = folder.glob('*/ap10k_species.csv')
    assert str(path) in output
    with path.open(newline='') as file:
        rows = {(row['group'], row['name']): row['AP'] for row in csv.DictReader(file)}
    assert {group for group, _ in rows} == {'all', 'family', 'species', 'keypoint'}
    assert float(rows['all', '']) == metrics['coco/AP']
    families = {name: float(value) for (group, name), value in rows.items() if group == 'family' and value}
    assert families
    assert {key: value for key, value in metrics.items() if key.startswith('coco/family/') and key.endswith('/AP')} == {
        f'coco/family/{name}/AP': value for name, value in families.items()}


def test_an_interrupted_training_resumes_to_the_same_losses(trained):
    interrupted = trained / 'interrupted'
    interrupted.mkdir()
    shutil.copy(trained / 'straight' / 'epoch_1.pth', interrupted)
    (interrupted / 'last_checkpoint').write_text(str(interrupted / 'epoch_1.pth'))
    mim('train', 'mmpose', trained / 'config.py', '--work-dir', interrupted, '--resume')
    assert len(losses(interrupted, 2)) >= 2 and not losses(interrupted, 1)
    assert losses(interrupted, 2) == losses(trained / 'straight', 2)


def test_inferencer_draws_poses_with_our_config_and_weights(trained):
    from mmpose.apis import MMPoseInferencer
    inferencer = MMPoseInferencer(
        pose2d=str(trained / 'config.py'),
        pose2d_weights=str(trained / 'straight' / 'epoch_2.pth'),
        det_model='whole_image',
        device='cpu')
    image = str(next((trained / 'toy' / 'data').glob('*.jpg')))
    result = next(inferencer(image, return_vis=True, out_dir=str(trained / 'out')))
    assert np.array(result['predictions'][0][0]['keypoints']).shape == (17, 2)
    assert list((trained / 'out' / 'visualizations').glob('*.jpg'))


def test_inferencer_would_look_for_animals(trained):
    """MMPose reads the kind of object off the dataset's module."""
    from mmengine.config import Config
    from mmpose.registry import DATASETS
    module = DATASETS.get(Config.fromfile(trained / 'config.py').dataset_type).__module__
    assert module.split('datasets.')[-1].split('.')[0] == 'animal'


@pytest.mark.parametrize('broken', ['missing', 'corrupt'])
def test_a_bad_image_names_its_path(trained, broken, tmp_path):
    from mmengine.config import Config
    from mmpose.registry import DATASETS
    shutil.copytree(trained / 'toy', tmp_path / 'toy')
    dataset = Config.fromfile(trained / 'config.py').train_dataloader.dataset
    dataset.data_root = f'{tmp_path}/toy/'
    dataset = DATASETS.build(dataset)
    image = Path(dataset.get_data_info(0)['img_path'])
    if broken == 'missing':
        image.unlink()
    else:
        image.write_bytes(b'not a picture')
    with pytest.raises(Exception, match=image.name):
        dataset[0]


def test_annotations_without_keypoints_are_one_clear_error(trained, tmp_path):
    ann_file = tmp_path / 'boxes.json'
    content = json.loads((trained / 'toy' / 'annotations' / 'ap10k-train-split1.json').read_text())
    for annotation in content['annotations']:
        del annotation['keypoints']
    ann_file.write_text(json.dumps(content))
    output = mim('train', 'mmpose', trained / 'config.py', '--work-dir', tmp_path / 'work', '--cfg-options',
                 f'train_dataloader.dataset.ann_file={ann_file}', status=1)
    assert str(ann_file) in output and "without 'keypoints'" in output


def test_a_checkpoint_of_this_training_is_safe_to_read(trained):
    state = torch.load(trained / 'straight' / 'epoch_2.pth', map_location='cpu', weights_only=True)
    assert state['meta']['epoch'] == 2
