from __future__ import annotations

from io import BytesIO

import numpy as np

JOINT_NAMES = ('rank', 'rkne', 'rhip', 'lhip', 'lkne', 'lank', 'pelv', 'thor', 'neck', 'head', 'rwri', 'relb', 'rsho',
               'lsho', 'lelb', 'lwri')


def encode_ground_truth(head_boxes: np.ndarray, joints: np.ndarray, annotated: np.ndarray, *, title: str,
                        names: tuple = JOINT_NAMES) -> bytes:
    """The content of an ``mpii_gt_val.mat``, where PCKh has its head boxes from.

    Column n belongs to record n of the json beside it. The same arrays give the same bytes.

    head_boxes: (N, corner, x and y); joints: (N, K, 2); annotated: (N, K) of bool; all in pixels counted from 1.
    """
    from scipy.io import savemat

    memory = BytesIO()
    savemat(memory, dict(
        dataset_joints=np.array(names, dtype=object)[None], headboxes_src=head_boxes.transpose(1, 2, 0),
        jnt_missing=(~annotated).T.astype(np.uint8), pos_gt_src=joints.transpose(1, 2, 0)))
    # The file begins with 116 bytes of free text in which SciPy writes the time of day.
    return f'MATLAB 5.0 MAT-file, {title}'.encode().ljust(116) + memory.getvalue()[116:]
