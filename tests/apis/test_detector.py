import numpy as np
import pytest
import torch
from mmdet.apis import inference_detector, init_detector
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.evaluation.functional import nms
from pose_files import DETECTOR, picture, write_detector

from clamp_mmpose.apis import Detector, Input, PoseInferencer
from clamp_mmpose.apis.frames import Frame

CLASSES = Config.fromfile(DETECTOR).class_names


@pytest.fixture(scope='module')
def detector_files(tmp_path_factory):
    return write_detector(tmp_path_factory.mktemp('detector'))


def frames(*sizes):
    return [Frame(Input(f'{seed}', f'{seed}'), image=picture(seed, *size)) for seed, size in enumerate(sizes)]


def test_boxes_are_those_of_mmdetection_after_nms_whatever_the_class(detector_files):
    model = init_detector(*detector_files, palette='random', device='cpu')
    asked = frames((60, 80), (90, 40), (60, 80))
    detector = Detector(*detector_files, bbox_thr=0.3, device='cpu')
    found = detector.find(asked)
    assert detector.categories[1] == CLASSES[0] and detector.categories[22] == CLASSES[21]
    for frame, boxes in zip(asked, found):
        instances = inference_detector(model, frame.image).pred_instances.numpy()
        sure = instances[instances.scores >= 0.3]
        kept = sure[nms(np.concatenate([sure.bboxes, sure.scores[:, None]], axis=1), 0.3)]
        assert 0 < len(kept) < len(instances)
        np.testing.assert_allclose(boxes.xyxy, kept.bboxes, atol=1e-2)
        np.testing.assert_allclose(boxes.scores, kept.scores, atol=1e-5)
        np.testing.assert_array_equal(boxes.category_ids, kept.labels + 1)


def test_names_choose_classes(detector_files):
    everything, = Detector(*detector_files, bbox_thr=0, nms_thr=1, device='cpu').find(frames((60, 80)))
    common = int(np.bincount(everything.category_ids).argmax())
    name = CLASSES[common - 1]
    chosen, = Detector(*detector_files, names=[name], bbox_thr=0, nms_thr=1, device='cpu').find(frames((60, 80)))
    assert set(chosen.category_ids.tolist()) == {common}
    assert len(chosen.xyxy) == (everything.category_ids == common).sum()
    with pytest.raises(ValueError, match='names unicorn: the detector knows antelope, cow'):
        Detector(*detector_files, names=['unicorn'], device='cpu')


def test_nothing_found_is_no_error(detector_files, model_files):
    detector = Detector(*detector_files, bbox_thr=1.1, device='cpu')
    result, = PoseInferencer(*model_files, boxes=detector, device='cpu')(picture())
    assert len(result) == 0 and result.error is None


def test_poses_stand_in_the_detectors_boxes_and_mmposes_scope_stays(detector_files, model_files):
    detector = Detector(*detector_files, device='cpu')
    assert DefaultScope.get_current_instance().scope_name == 'mmpose'
    result, = PoseInferencer(*model_files, boxes=detector, device='cpu')(picture())
    assert len(result) == len(result.boxes.xyxy) > 0
    assert np.isin(result.boxes.category_ids, [*detector.categories]).all()


def test_the_text_tower_is_dropped(detector_files):
    assert Detector(*detector_files, device='cpu').model.neck.prompts.text_encoder is None


def test_weights_without_the_head_are_refused(detector_files, tmp_path):
    checkpoint = torch.load(detector_files[1], weights_only=True)
    checkpoint['state_dict'] = {
        key: value for key, value in checkpoint['state_dict'].items() if not key.startswith('bbox_head')}
    torch.save(checkpoint, tmp_path / 'backbone.pth')
    with pytest.raises(RuntimeError, match=r'does not fit the config: it has no bbox_head'):
        Detector(detector_files[0], str(tmp_path / 'backbone.pth'), device='cpu')


def test_a_model_that_is_no_detector_is_refused(model_files):
    with pytest.raises(ValueError, match='is a TopdownPoseEstimator, not a detector of MMDetection'):
        Detector(*model_files, device='cpu')
