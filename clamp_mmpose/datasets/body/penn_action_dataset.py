from __future__ import annotations

import os
from collections import Counter
from os import path as osp

import numpy as np
from mmengine.logging import MMLogger
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.registry import DATASETS

from .penn_action_metainfo import PENN_ACTION
from .penn_action_video import PennActionVideo, read_video

SPLITS = ('train', 'test', 'all')


@DATASETS.register_module()
class PennActionDataset(BaseCocoStyleDataset):
    """Penn Action as it is released: ``frames/0001/000001.jpg``, ... and ``labels/0001.mat``, ...

    2326 videos with one labelled person in every frame; video by video, in the order of time. Keypoints and boxes are
    in the pixels of the image: the top left one is (0, 0), where the release counts from 1.

    Each frame has, besides what MMPose's datasets give, ``video`` ('0001') and ``frame`` (1, ...). Named in the
    ``meta_keys`` of ``PackPoseInputs``, ``video`` tells `MeTTAHook(scope='video', reset='video')` the videos apart, as
    does the frame's folder without it.

    Frames without visible joint or proper box are left out, as MMPose does in its datasets, and frames whose box is
    missing at the end of a video take the one before; the log counts them. ValueError or FileNotFoundError, naming the
    file, says what is not as released.

    Args:
        ann_file: the folder of the labels, in ``data_root``.
        split: 'train' or 'test' by the flag in the labels, or 'all'.
        sample_interval: takes every n-th frame of each video, from its first.
        data_prefix: ``img`` is the folder of the frames.
        kwargs: of MMPose's datasets.
    """

    METAINFO: dict = PENN_ACTION

    def __init__(self,
                 ann_file: str = 'labels',
                 *,
                 split: str = 'train',
                 sample_interval: int = 1,
                 data_prefix: dict = dict(img='frames'),  # noqa: B006 (MMPose's form; never changed)
                 **kwargs) -> None:
        if split not in SPLITS:
            raise ValueError(f'split={split!r} must be one of {list(SPLITS)}')
        if isinstance(sample_interval, bool) or not isinstance(sample_interval, int) or sample_interval < 1:
            raise ValueError(f'sample_interval={sample_interval!r} must be a whole number, 1 or more')
        if kwargs.get('bbox_file'):
            raise ValueError(f'bbox_file={kwargs["bbox_file"]!r} is not for PennActionDataset, whose boxes are in its '
                             'labels')
        self.split = split
        super().__init__(ann_file, sample_interval=sample_interval, data_prefix=data_prefix, **kwargs)

    def _load_annotations(self) -> tuple[list[dict], list[dict]]:
        instances, count = [], Counter()
        for name in self._video_names():
            path = osp.join(self.ann_file, f'{name}.mat')
            video = read_video(path)
            if self.split != 'all' and video.is_train != (self.split == 'train'):
                continue
            count['videos'] += 1
            count['borrowed'] += video.borrowed_boxes
            instances += self._instances(name, path, video, count)
        if not instances:
            raise ValueError(f'ann_file={self.ann_file!r} has no frame to use: {count["videos"]} of its videos are in '
                             f'split={self.split!r}')
        for index, instance in enumerate(instances):
            instance['id'] = instance['img_id'] = index
        self._log(len(instances), count)
        return instances, [dict(img_id=instance['img_id'], img_path=instance['img_path']) for instance in instances]

    def _video_names(self) -> list[str]:
        if not osp.isdir(self.ann_file):
            raise FileNotFoundError(f'ann_file={self.ann_file!r} must be the folder labels of Penn Action, and is '
                                    f'{"no folder" if osp.exists(self.ann_file) else "not there"}')
        # A leading dot is what macOS leaves beside files.
        names = sorted(osp.splitext(name)[0] for name in os.listdir(self.ann_file)
                       if name.endswith('.mat') and not name.startswith('.'))
        if not names:
            raise ValueError(f'ann_file={self.ann_file!r} must be the folder labels of Penn Action, and has no .mat '
                             'file in it')
        return names

    def _instances(self, name: str, path: str, video: PennActionVideo, count: Counter) -> list[dict]:
        places = np.arange(0, len(video.keypoints), self.sample_interval)
        sizes = video.boxes[places, 2:] - video.boxes[places, :2]
        proper = np.isfinite(sizes).all(1) & (sizes > 0).all(1)
        seen = video.visible[places].any(1)
        count['boxless'] += int((~proper).sum())
        count['unseen'] += int((proper & ~seen).sum())
        places = places[proper & seen]
        paths = self._frame_paths(name, path, places + 1)
        areas = 0.53 * sizes[proper & seen].prod(1)  # MMPose's guess of the person in the box
        return [
            dict(
                img_path=img_path,
                video=name,
                frame=int(place) + 1,
                bbox=video.boxes[place, None],
                bbox_score=np.ones(1, dtype=np.float32),
                keypoints=video.keypoints[place, None],
                keypoints_visible=video.visible[place, None],
                num_keypoints=int(video.visible[place].sum()),
                area=area,
                category_id=1,
                iscrowd=0) for place, img_path, area in zip(places, paths, areas)
        ]

    def _frame_paths(self, name: str, path: str, numbers: np.ndarray) -> list[str]:
        folder = osp.join(self.data_prefix['img'], name)
        if not osp.isdir(folder):
            raise FileNotFoundError(f'the frames of {path} must be in {folder}, which is not there; '
                                    "data_prefix=dict(img=...) names the folder of all videos' frames")
        names = [f'{number:06d}.jpg' for number in numbers]
        missing = {*names} - {*os.listdir(folder)}
        if missing:
            raise FileNotFoundError(f'{len(missing)} of the {len(names)} frames that {path} labels are not in '
                                    f'{folder}, the first is {min(missing)}')
        return [osp.join(folder, name) for name in names]

    def _log(self, num_frames: int, count: Counter) -> None:
        odd = [text for text in (
            f'{count["borrowed"]} frames without a box take the one before' if count['borrowed'] else '',
            f'{count["boxless"]} frames without a proper box are left out' if count['boxless'] else '',
            f'{count["unseen"]} frames without a visible joint are left out' if count['unseen'] else '') if text]
        MMLogger.get_current_instance().info('; '.join(
            [f'Penn Action, split={self.split!r}: {num_frames} frames of {count["videos"]} videos', *odd]))
