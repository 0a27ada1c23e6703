"""MMPose's own metrics take the poses that captions give."""
import json

import numpy as np
import pytest
from caption_results import evaluate, make_sample
from mmpose.registry import KEYPOINT_CODECS

MPII = ('right_ankle', 'right_knee', 'right_hip', 'left_hip', 'left_knee', 'left_ankle', 'pelvis', 'thorax',
        'upper_neck', 'head_top', 'right_wrist', 'right_elbow', 'right_shoulder', 'left_shoulder', 'left_elbow',
        'left_wrist')
K = len(MPII)
SCALE = (1280, 720)


def mpii_samples(edit=lambda caption: caption, shift=0.0):
    """Whole images of 1280x720 in 384x384, with a head of 100 pixels; the truth is ``shift`` beside the caption."""
    codec = KEYPOINT_CODECS.build(dict(type='CaptionPose', input_size=(384, 384)))
    rng = np.random.default_rng(0)
    samples = []
    for index in range(6):
        label = rng.integers(40, 340, (K, 2)).astype(float)
        caption = edit(codec.write(label))
        decoded = codec.decode(caption)
        samples.append(make_sample(
            label, decoded.keypoints[0], found=decoded.valid[0], caption=caption, scale=SCALE, index=index,
            head_size=np.full((1, 1), 100.0)))
        samples[-1].gt_instances.keypoints = samples[-1].gt_instances.keypoints + np.float32(shift)
    return samples


@pytest.mark.parametrize('norm, name', [('bbox', 'PCK'), ('head', 'PCKh')])
def test_pck(norm, name):
    metric = dict(type='PCKAccuracy', thr=0.05, norm_item=norm)
    assert evaluate(metric, mpii_samples(), MPII)[name] == 1
    # A joint that the caption lacks, or has nowhere near, is a miss.
    for edit in (lambda caption: caption.split('rhip')[0] + 'lhip' + caption.split('lhip')[1],
                 lambda caption: caption.replace('rhip:', 'rhip:1').replace('rhip:1', 'rhip:0,0 x:')):
        assert evaluate(metric, mpii_samples(edit), MPII)[name] == pytest.approx(15 / 16)
    assert evaluate(metric, mpii_samples(lambda caption: 'nothing'), MPII)[name] == 0


def test_pckh_of_mpii_adds_a_pixel_to_the_prediction():
    """MMPose's rule for labels that count pixels from 1 and predictions from 0; a model that is trained on such labels
    as they are comes out one pixel beside them. PCKAccuracy(norm_item='head') adds nothing."""
    within_a_pixel = dict(thr=0.01)  # of a head of 100 pixels; the distance is to be below
    assert evaluate(dict(type='MpiiPCKAccuracy', **within_a_pixel), mpii_samples(), MPII)['PCK'] == 0
    assert evaluate(dict(type='MpiiPCKAccuracy', **within_a_pixel), mpii_samples(shift=1), MPII)['PCK'] == 100
    plain = dict(type='PCKAccuracy', norm_item='head', **within_a_pixel)
    assert evaluate(plain, mpii_samples(), MPII)['PCKh'] == 1
    assert evaluate(plain, mpii_samples(shift=1), MPII)['PCKh'] == 0


def test_pckh_of_mpii_by_part():
    found = evaluate(dict(type='MpiiPCKAccuracy'), mpii_samples(), MPII)
    assert found['PCK'] == pytest.approx(100) and found['PCK@0.1'] == pytest.approx(100)
    without = evaluate(dict(type='MpiiPCKAccuracy'), mpii_samples(lambda caption: caption.split('lwri')[0]), MPII)
    assert without['Wrist PCK'] == pytest.approx(50) and without['Head PCK'] == pytest.approx(100)


@pytest.fixture
def coco_file(tmp_path):
    """COCO annotations of the same people."""
    annotations = []
    for sample in mpii_samples():
        keypoints = np.concatenate([sample.gt_instances.keypoints[0], np.full((K, 1), 2)], -1)
        annotations.append(dict(
            id=sample.id, image_id=sample.img_id, category_id=1, iscrowd=0, area=100.0 * 100, num_keypoints=K,
            bbox=[0, 0, *SCALE], keypoints=keypoints.ravel().astype(float).tolist()))
    path = tmp_path / 'people.json'
    path.write_text(json.dumps(dict(
        images=[dict(id=entry['id'], width=1280, height=720, file_name='x.jpg') for entry in annotations],
        annotations=annotations, categories=[dict(id=1, name='person', keypoints=list(MPII), skeleton=[])])))
    return str(path)


@pytest.mark.parametrize('metric', [dict(type='CocoMetric'), dict(type='mmpose.SpeciesCocoMetric', bootstrap=0)])
def test_ap(coco_file, metric):
    metric = dict(metric, ann_file=coco_file)
    meta = dict(sigmas=np.full(K, 0.05), flip_indices=list(range(K)))
    assert evaluate(metric, mpii_samples(), MPII, **meta)['coco/AP'] == pytest.approx(1)
    half = evaluate(metric, mpii_samples(lambda caption: caption.split('thorax')[0]), MPII, **meta)
    assert half['coco/AP'] == 0 and half['coco/AP .5'] == 0  # 7 of 16 joints are an OKS below 0.5
    assert evaluate(metric, mpii_samples(lambda caption: ''), MPII, **meta)['coco/AP'] == 0


@pytest.mark.parametrize('number, kind', [
    ('EPE', dict(type='EPE')),
    ('NME', dict(type='NME', norm_mode='use_norm_item', norm_item='bbox_size')),
])
def test_other_errors_of_mmpose(number, kind):
    assert evaluate(kind, mpii_samples(), MPII)[number] < 1e-3
    assert evaluate(kind, mpii_samples(shift=100), MPII)[number] > 0.05
