"""Reads images and videos one frame after the other; what cannot be read says why."""
from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping

import cv2
import numpy as np
from PIL import Image

from .inputs import VIDEO_SUFFIXES, Input

_VIDEO_SIGNATURES = ((0, b'\x1aE\xdf\xa3'), (4, b'ftyp'), (8, b'AVI '), (4, b'moov'), (4, b'mdat'))
# Of ISO files that hold a photograph.
_PHOTO_BRANDS = (b'heic', b'heix', b'hevc', b'mif1', b'msf1', b'avif', b'avis')
# A complete file ends so; where one does not, the whole of it is decoded to see whether something is missing.
_ENDS = {b'\xff\xd8\xff': b'\xff\xd9', b'\x89PNG': b'IEND\xaeB`\x82'}


@dataclasses.dataclass(frozen=True)
class Frame:
    """An image, or one frame of a video, (H, W, 3) BGR; or the reason why there is none.

    ``index`` and ``time`` (seconds) count from the start of a video and are None for an image; ``fps`` is that of the
    frames read, None where the video does not tell.
    """

    input: Input
    image: np.ndarray | None = None
    index: int | None = None
    time: float | None = None
    fps: float | None = None
    error: str | None = None


def read_frames(inputs: Iterable[Input],
                load_image: Callable[[str], np.ndarray],
                *,
                every: int = 1,
                unwanted: Mapping[str, str] | None = None) -> Iterator[Frame]:
    """All frames of ``inputs``; of videos each ``every``-th.

    What is broken gives a frame with an ``error``, as do the ``unwanted`` paths, with what is said of them.
    """
    for source in inputs:
        try:
            if source.path in (unwanted or {}):
                yield Frame(source, error=unwanted[source.path])
            elif _is_video(source.path):
                yield from _read_video(source, every)
            else:
                yield Frame(source, image=_read_image(source.path, load_image))
        except Exception as error:  # decoders raise anything
            yield Frame(source, error=_one_line(error))


def count_frames(inputs: Iterable[Input], *, every: int = 1) -> int:
    """How many frames :func:`read_frames` will give, as far as files tell without being decoded."""
    total = 0
    for source in inputs:
        frames = 1
        if os.path.splitext(source.path)[1].lower() in VIDEO_SUFFIXES:
            frames = max(cv2.VideoCapture(source.path).get(cv2.CAP_PROP_FRAME_COUNT), 1)
        total += math.ceil(frames / every)
    return total


def _is_video(path: str) -> bool:
    """By the content; where that tells nothing, by the suffix. Raises ValueError where neither knows."""
    with open(path, 'rb') as file:
        start = file.read(16)
    if not start:
        raise ValueError('the file is empty')
    if cv2.haveImageReader(path):
        return False
    if start[4:8] == b'ftyp' and start[8:12] in _PHOTO_BRANDS:
        raise ValueError('OpenCV cannot read HEIC or AVIF here; convert it to JPEG or PNG')
    if any(start[place:].startswith(signature) for place, signature in _VIDEO_SIGNATURES):
        return True
    if os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES:
        return True
    raise ValueError('it holds neither an image nor a video')


def _read_image(path: str, load_image: Callable[[str], np.ndarray]) -> np.ndarray:
    _check_complete(path)
    try:
        image = load_image(path)
    except AssertionError:  # of mmcv
        image = None
    if image is None:
        raise ValueError('the image cannot be decoded')
    if min(image.shape[:2]) < 2:
        raise ValueError(f'the image has {image.shape[1]} x {image.shape[0]} pixels')
    return image


def _check_complete(path: str) -> None:
    """OpenCV fills what a truncated file lacks with grey, and only warns."""
    with open(path, 'rb') as file:
        start = file.read(8)
        file.seek(max(os.path.getsize(path) - 64, 0))
        end = file.read()
    if any(start.startswith(magic) and end.rstrip(b'\0\n').endswith(tail) for magic, tail in _ENDS.items()):
        return
    try:
        with Image.open(path) as image:
            image.load()
    except Exception as error:
        # Of other formats, Pillow lacks some that OpenCV reads.
        if start.startswith((*_ENDS, )) or 'truncated' in str(error):
            raise ValueError(f'the image is damaged: {error}') from None


def _read_video(source: Input, every: int) -> Iterator[Frame]:
    capture = cv2.VideoCapture(source.path)
    try:
        if not capture.isOpened():
            raise ValueError('the video cannot be opened; it is cut off, or of a kind that OpenCV does not read')
        fps, expected = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        fps = fps if 0 < fps < math.inf else None
        index = 0
        while capture.grab():
            if index % every == 0:
                decoded, image = capture.retrieve()
                if not decoded:
                    break
                yield Frame(source, image=image, index=index, time=index / fps if fps else None,
                            fps=fps / every if fps else None)
            index += 1
    finally:
        capture.release()
    if index == 0:
        raise ValueError('no frame of the video can be read')
    # The number is an estimate in some containers.
    if index < 0.98 * expected - 1:
        raise ValueError(f'the video ends after {index} of {expected:.0f} frames; those are done')


def _one_line(error: Exception) -> str:
    text = ' '.join(str(error).split()) or type(error).__name__
    return text if isinstance(error, (ValueError, OSError)) else f'{type(error).__name__}: {text}'
