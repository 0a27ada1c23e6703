"""MMDetection's tools on generated animals, as a user runs them, and MMPose's inferencer with the detector."""
import json
from pathlib import Path

import numpy as np
import pytest
from mim_runs import mim

from clamp_mmpose.datasets.toy import make_toy_dataset

ROOT = Path(__file__).resolve().parents[1]
DETECTOR = ROOT / 'configs' / 'denseclip' / 'denseclip_tiny-retinanet_1xb8-24e_toyanimals-det.py'
POSE = ROOT / 'configs' / 'clamp' / 'clamp_tiny_1xb16-30e_toyanimals-128x128.py'

DELTA = """
_base_ = [{config!r}]
data_root = {data!r}
train_cfg = dict(max_epochs=2, val_interval=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1, max_keep_ckpts=-1, save_best=None))
model = dict(test_cfg=dict(score_thr=0.0))  # so little training leaves every score low
train_dataloader = dict(batch_size=4, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/ap10k-val-split1.json')
test_evaluator = val_evaluator
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A folder with data, a config of two epochs, and ``straight``, the work directory of its training."""
    folder = tmp_path_factory.mktemp('detector')
    make_toy_dataset(folder / 'toy', kind='animals', train=8, val=4, seed=1)
    (folder / 'config.py').write_text(DELTA.format(config=str(DETECTOR), data=f'{folder}/toy/'))
    mim('train', 'mmdet', folder / 'config.py', '--work-dir', folder / 'straight')
    return folder


def losses(work_dir, epoch):
    scalars = max(work_dir.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime)
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    parts = ('loss', 'loss_cls', 'loss_bbox', 'loss_score')
    return [tuple(row[part] for part in parts) for row in rows if row.get('epoch') == epoch and 'loss' in row]


def test_train_then_test_reports_box_ap(trained):
    assert len(losses(trained / 'straight', 1)) == 2
    mim('test', 'mmdet', trained / 'config.py', '--checkpoint', trained / 'straight' / 'epoch_2.pth', '--work-dir',
        trained / 'test', '--cfg-options', f'test_evaluator.outfile_prefix={trained}/found')
    (metrics, ) = (trained / 'test').glob('*/*.json')
    assert 0 <= json.loads(metrics.read_text())['coco/bbox_mAP'] <= 1
    boxes = json.loads((trained / 'found.bbox.json').read_text())
    truth = json.loads((trained / 'toy' / 'annotations' / 'ap10k-val-split1.json').read_text())
    drawn = {category['id'] for category in truth['categories']}
    assert boxes and {box['image_id'] for box in boxes} <= {image['id'] for image in truth['images']}
    assert {box['category_id'] for box in boxes} <= drawn


def test_an_interrupted_training_resumes_to_the_same_losses(trained):
    interrupted = trained / 'interrupted'
    interrupted.mkdir()
    (interrupted / 'epoch_1.pth').symlink_to(trained / 'straight' / 'epoch_1.pth')
    (interrupted / 'last_checkpoint').write_text(str(interrupted / 'epoch_1.pth'))
    mim('train', 'mmdet', trained / 'config.py', '--work-dir', interrupted, '--resume')
    assert not losses(interrupted, 1)
    assert losses(interrupted, 2) == losses(trained / 'straight', 2)


def test_the_inferencer_estimates_poses_in_our_detectors_boxes(trained):
    from mmpose.apis import MMPoseInferencer
    inferencer = MMPoseInferencer(
        pose2d=str(POSE), det_model=str(trained / 'config.py'), device='cpu', show_progress=False,
        det_weights=str(trained / 'straight' / 'epoch_2.pth'), det_cat_ids=list(range(22)))
    image = str(next((trained / 'toy' / 'data').glob('*.jpg')))
    found = inferencer.inferencer.detector(image, return_datasamples=True)['predictions'][0].pred_instances
    threshold = float(found.scores.median())
    result = next(inferencer(image, bbox_thr=threshold, nms_thr=0.9, out_dir=str(trained / 'out')))
    animals = result['predictions'][0]
    assert len(animals) > 1
    boxes = found.bboxes[found.scores > threshold].numpy()
    for animal in animals:
        assert np.array(animal['keypoints']).shape == (17, 2)
        assert np.isclose(boxes, animal['bbox'][0], atol=1e-3).all(1).any()
    assert list((trained / 'out' / 'visualizations').glob('*.jpg'))
