from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from ...apis import PoseResult

_WRITABLE = {'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'}
_CODECS = {'.mp4': 'mp4v', '.m4v': 'mp4v', '.mov': 'mp4v', '.avi': 'MJPG'}


class PictureWriter:
    """``drawn/<name>`` of each image and video; formats that OpenCV does not write become .png and .mp4.

    Skeleton and colours are the dataset's. Where ``with_names``, for prompts that have no skeleton, the names of the
    keypoints stand beside them.
    """

    def __init__(self, folder: Path, meta: dict, *, kpt_thr: float, with_boxes: bool, with_names: bool) -> None:
        self._folder = folder / 'drawn'
        self._visualizer = _Visualizer(backend='opencv')
        self._visualizer.set_dataset_meta(meta)
        self._kpt_thr, self._with_boxes, self._with_names = kpt_thr, with_boxes, with_names
        self._video: _Video | None = None
        self._written = False

    def add(self, result: PoseResult) -> None:
        frame, name = result.frame, result.frame.input.name
        if self._video is not None and (frame.index is None or self._video.name != name):
            self._end_video()
        if result.error is not None:
            return
        self._written = True
        drawn = self._draw(result)
        if frame.index is None:
            suffix = os.path.splitext(name)[1].lower()
            _write_image(self._folder / (name if suffix in _WRITABLE else f'{name}.png'), drawn)
            return
        if self._video is None:
            self._video = _Video(self._folder, name, frame.fps, drawn)
        self._video.write(drawn)

    def close(self) -> list[Path]:
        """Completes the video that is being written, and returns the folder."""
        if self._video is not None:
            self._end_video()
        return [self._folder] if self._written else []

    def _end_video(self) -> None:
        self._video.finish()
        self._video = None

    def _draw(self, result: PoseResult) -> np.ndarray:
        image = result.image if result.image.ndim == 3 else cv2.cvtColor(result.image, cv2.COLOR_GRAY2BGR)
        image = np.ascontiguousarray(image[..., ::-1].astype(np.uint8))
        height, width = image.shape[:2]
        self._visualizer.radius = max(round(max(height, width) / 200), 2)
        self._visualizer.line_width = max(round(max(height, width) / 350), 1)
        finite = np.isfinite(result.keypoints).all(-1)
        instances = InstanceData(
            keypoints=np.where(finite[..., None], result.keypoints, 0),
            keypoints_visible=np.where(finite, result.scores, -np.inf),
            bboxes=result.boxes.xyxy)
        drawn = self._visualizer.add_datasample(
            'pose', image, PoseDataSample(pred_instances=instances), draw_gt=False, draw_bbox=self._with_boxes,
            kpt_thr=self._kpt_thr)
        drawn = np.ascontiguousarray(drawn[..., ::-1])
        if self._with_names:
            self._write_names(drawn, result)
        return drawn

    def _write_names(self, image: np.ndarray, result: PoseResult) -> None:
        scale = max(max(image.shape[:2]) / 1000, 0.35)
        for keypoints, scores in zip(result.keypoints, result.scores):
            for name, (x, y), score in zip(result.keypoint_names, keypoints, scores):
                if score >= self._kpt_thr and np.isfinite([x, y]).all():
                    (width, _), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, scale, 3)
                    place = (min(int(x) + self._visualizer.radius + 2, image.shape[1] - width), int(y))
                    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                        cv2.putText(image, name, place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)


class _Visualizer(PoseLocalVisualizer):
    """MMPose's gives OpenCV a radius as an array of one, which NumPy 2.4 refuses. Matplotlib takes 50 times as long."""

    def draw_circles(self, center: np.ndarray, radius: np.ndarray, *args, **kwargs) -> _Visualizer:
        return super().draw_circles(center, int(np.max(radius)), *args, **kwargs)


class _Video:
    """Until it is finished, a video has ``.part`` in front of its suffix."""

    def __init__(self, folder: Path, name: str, fps: float | None, first: np.ndarray) -> None:
        self.name = name
        suffix = os.path.splitext(name)[1].lower()
        if suffix not in _CODECS:
            name, suffix = f'{name}.mp4', '.mp4'
        self._path = folder / name
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._part = self._path.with_name(f'{self._path.stem}.part{suffix}')
        size = first.shape[1::-1]
        self._writer = cv2.VideoWriter(str(self._part), cv2.VideoWriter_fourcc(*_CODECS[suffix]), fps or 25, size)
        if not self._writer.isOpened():
            raise ValueError(f'OpenCV cannot write {self._part}')

    def write(self, image: np.ndarray) -> None:
        self._writer.write(image)

    def finish(self) -> None:
        self._writer.release()
        os.replace(self._part, self._path)


def _write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _, content = cv2.imencode(path.suffix, image)
    except cv2.error as error:
        raise ValueError(f'OpenCV cannot write {path}: {error}') from None
    part = path.with_name(path.name + '.part')
    part.write_bytes(content.tobytes())
    os.replace(part, path)
