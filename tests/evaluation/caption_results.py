"""Data samples as a top-down estimator gives them to its metrics, made by hand."""
import numpy as np
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

NAMES = ('head', 'hand', 'foot', 'tail')


def make_sample(label, predicted, visible=None, *, found=None, caption=None, scale=(384, 384), center=None,
                size=(384, 384), index=0, **gt_fields):
    """One pose; ``label``, ``predicted``: (K, 2) in input pixels. ``scale``, ``center``: the part of the image seen."""
    scale = np.array(scale, dtype=np.float32)
    center = scale / 2 if center is None else np.array(center, dtype=np.float32)

    def to_image(points):
        points = np.asarray(points, dtype=np.float64)
        return (points * scale / size + center - scale / 2)[None].astype(np.float32)

    K = len(label)
    box = np.concatenate([center - scale / 2, center + scale / 2])[None]
    truth = InstanceData(bboxes=box, bbox_scores=np.ones(1, np.float32), bbox_scales=scale[None],
                         keypoints=to_image(label))
    truth.keypoints_visible = np.ones((1, K), np.float32) if visible is None else np.array([visible], np.float32)
    for name, value in gt_fields.items():
        truth.set_field(value, name)
    scores = np.ones((1, K), np.float32) if found is None else 0.9 * np.array([found], np.float32)
    sample = PoseDataSample(
        gt_instances=truth,
        pred_instances=InstanceData(
            keypoints=to_image(predicted), keypoint_scores=scores, keypoints_visible=scores, bboxes=box,
            bbox_scores=truth.bbox_scores),
        metainfo=dict(
            id=index, img_id=index, category_id=1, ori_shape=(720, 1280), input_size=size, input_center=center,
            input_scale=scale))
    if caption is not None:
        found = np.ones(K, bool) if found is None else np.asarray(found, bool)
        sample.pred_caption = dict(caption=caption, valid=found, ok=bool(found.all()))
    return sample


def evaluate(metric, samples, names=NAMES, batch_size=2, **meta):
    """What ``metric`` makes of samples that come in batches."""
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = dict(
        dataset_name='made', num_keypoints=len(names), keypoint_id2name=dict(enumerate(names)), **meta)
    for start in range(0, len(samples), batch_size):
        evaluator.process(samples[start:start + batch_size], None)
    return evaluator.evaluate(len(samples))
