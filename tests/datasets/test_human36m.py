"""Human3.6M through MMPose's converter, CheckedCocoDataset and TorsoPCKAccuracy."""
import numpy as np
from human36m_files import write_human36m
from mmpose.registry import DATASETS, METRICS


def test_frames_keypoints_and_torso_are_those_of_the_converted_file(tmp_path):
    poses = write_human36m(tmp_path)
    dataset = DATASETS.build(dict(
        type='CheckedCocoDataset', data_root=str(tmp_path), ann_file='h36m_coco_test.json',
        data_prefix=dict(img='images/'), metainfo=dict(from_file='configs/_base_/datasets/h36m.py'), test_mode=True,
        pipeline=[dict(type='LoadImage'), dict(type='GetBBoxCenterScale', padding=1.25 / 1.2),
                  dict(type='TopdownAffine', input_size=(128, 128)), dict(type='PackPoseInputs')]))
    metric = METRICS.build(dict(type='TorsoPCKAccuracy'))
    metric.dataset_meta = dataset.metainfo
    assert len(dataset) == 4
    hits = []
    for index, pose in enumerate(poses):
        sample = dataset[index]['data_samples']
        np.testing.assert_allclose(sample.gt_instances.keypoints[0], pose, rtol=1e-5)
        side = 1.25 * (pose.max(0) - pose.min(0)).max()
        np.testing.assert_allclose(sample.input_scale, [side, side], rtol=1e-4)
        # TTP's joints in its order of MPII: the neck, 8, and the hips, 2 and 3.
        torso = np.linalg.norm(pose[9] - (pose[1] + pose[4]) / 2)
        offset = 0.2 * torso * np.linspace(0.5, 1.48, 17)
        hits.append(offset <= 0.2 * torso)
        found = pose[None] + offset[:, None] * [0, 1]
        metric.process(None, [dict(sample.to_dict(), pred_instances=dict(keypoints=found))])
    found = metric.evaluate(4)
    assert found['torso_pck/PCK@0.2'] == np.mean(hits) and found['torso_pck/PCK/root'] == 1
    assert found['torso_pck/PCK/right_wrist'] == 0
