from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.io import loadmat

NUM_JOINTS = 13
_NEEDED = ('train', 'nframes', 'x', 'y', 'visibility', 'bbox')


class PennActionVideo(NamedTuple):
    """The labels of a video of F frames, in pixels that count from 0.

    ``keypoints``: (F, 13, 2), float32; ``visible``: (F, 13), float32 of 0 and 1; ``boxes``: (F, 4), float32, x1, y1,
    x2, y2, not all of them usable; ``borrowed_boxes``: last frames without a box of their own.
    """

    is_train: bool
    keypoints: np.ndarray
    visible: np.ndarray
    boxes: np.ndarray
    borrowed_boxes: int


def read_video(path: str) -> PennActionVideo:
    """Reads a file of Penn Action's ``labels``, such as 0001.mat; ValueError, naming it, where it is not of the form.

    The release counts pixels from 1, as MATLAB does, in which it was made and is drawn by its own tools. Some videos
    have no box in the last frame: it takes the one before. A joint without coordinates is not visible.
    """
    try:
        content = loadmat(path, variable_names=_NEEDED)
    except Exception as error:  # SciPy has no error of its own for what is no MAT-file, or half of one
        raise ValueError(f'{path} cannot be read as a MAT-file ({type(error).__name__}: {error})') from error
    lacking = [name for name in _NEEDED if name not in content]
    if lacking:
        raise ValueError(f'{path} has no {", ".join(lacking)}, as the labels of Penn Action do')
    try:
        train, length = (float(np.asarray(content[name]).item()) for name in ('train', 'nframes'))
        x, y, visible, boxes = (np.asarray(content[name], dtype=np.float32)
                                for name in ('x', 'y', 'visibility', 'bbox'))
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path}: train and nframes must be a number, x, y, visibility and bbox arrays of them '
                         f'({error})') from error
    if not (length >= 1 and length.is_integer()):
        raise ValueError(f'{path}: nframes={length:g} must be a whole number, 1 or more')
    num_frames = int(length)
    for name, array in (('x', x), ('y', y), ('visibility', visible)):
        if array.shape != (num_frames, NUM_JOINTS):
            raise ValueError(f'{path}: {name} is {_times(array.shape)}, not {num_frames} x {NUM_JOINTS} for the '
                             f'{num_frames} frames of nframes')
    if boxes.shape != (len(boxes), 4) or not 0 < len(boxes) <= num_frames:
        raise ValueError(f'{path}: bbox is {_times(boxes.shape)}, not {num_frames} x 4 for the {num_frames} frames of '
                         'nframes')
    borrowed = num_frames - len(boxes)
    boxes = np.concatenate([boxes, boxes[-1:].repeat(borrowed, axis=0)])
    keypoints = np.stack([x, y], axis=-1) - 1
    labelled = np.isfinite(keypoints).all(-1)
    return PennActionVideo(
        is_train=train == 1,
        keypoints=np.where(labelled[..., None], keypoints, 0),
        visible=((visible > 0) & labelled).astype(np.float32),
        boxes=boxes - 1,
        borrowed_boxes=borrowed)


def _times(shape: tuple[int, ...]) -> str:
    return ' x '.join(map(str, shape))
