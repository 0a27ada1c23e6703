"""A small Penn Action: the release's folders, with labels as MATLAB writes them."""
import cv2
import numpy as np
from scipy.io import savemat

POSE = ['left_forward', 'front']


def make_labels(num_frames=4, *, train=1, seed=0):
    """What is in a file of labels, in pixels that count from 1. Each frame has its own places."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(20, 100, (2, num_frames, 13))
    box = np.stack([x.min(1) - 5, y.min(1) - 5, x.max(1) + 5, y.max(1) + 5], axis=1)
    return dict(
        action='baseball_pitch',
        pose=np.array([[POSE[frame % 2]] for frame in range(num_frames)], dtype=object),
        x=x,
        y=y,
        visibility=np.ones((num_frames, 13), dtype=np.uint8),
        train=np.array([[train]], dtype=np.int16),
        bbox=box,
        dimensions=np.array([[96, 128, num_frames]], dtype=np.uint16),
        nframes=np.array([[num_frames]], dtype=np.uint16))


def write_video(root, name, labels, *, frames=None):
    """``frames``: how many pictures there are, by default as many as labelled."""
    (root / 'labels').mkdir(parents=True, exist_ok=True)
    folder = root / 'frames' / name
    folder.mkdir(parents=True, exist_ok=True)
    savemat(root / 'labels' / f'{name}.mat', labels, do_compression=True)
    rng = np.random.default_rng(len(name))
    for number in range(1, (int(np.ravel(labels['nframes'])[0]) if frames is None else frames) + 1):
        cv2.imwrite(str(folder / f'{number:06d}.jpg'), rng.integers(0, 255, (96, 128, 3), dtype=np.uint8))
    return labels
