from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS

from .caption_formats import STYLES, Literal, Slot
from .caption_names import MPII_NAMES, MPII_NAMES_SINGLE, SIMPLE_JOINTS, SINGLE_JOINT, check_names, joint_indices
from .caption_parser import CaptionParser, CaptionReport


class DecodedCaption(NamedTuple):
    """What N captions say of a dataset's K keypoints.

    keypoints: (N, K, 2), in input pixels, 0 where not valid or where the style has no coordinates.
    valid: (N, K), whether the caption has a usable value for the joint.
    report: for each caption what else was found in it.
    visible: (N, K), in {0, 1}: what a visibility style says; of the others, the same as valid.
    """
    keypoints: np.ndarray
    valid: np.ndarray
    report: tuple[CaptionReport, ...]
    visible: np.ndarray


@KEYPOINT_CODECS.register_module()
class CaptionPose(BaseKeypointCodec):
    """Writes a pose as a caption, ``rankl:201,379 rknee:204,272 ...``, and reads captions back.

    The formats of "Fine-Tuning Vision Transformer-Based Model for Pose-Estimation" (Sec. 2.1.1), byte for byte, for any
    dataset's keypoints and image size. Coordinates are input pixels. ``decode`` takes whatever a language model writes
    and never raises.

    Differs from the paper: ``normalized_*`` are really normalised (its code wrote pixels there), and a keypoint
    outside the image is moved to its border.

    input_size: width and height in pixels.
    names: a short name for each keypoint of the dataset; those of MPII if None.
    style: 'text', 'simple_text', 'visibility_text', 'simple_visibility_text', 'normalized_text',
    'normalized_simple_text', or 'single': ``neck: (100, 200)``.
    joints: names or indices of the joints that a caption has; if None, all, or for simple styles head, knees and
    elbows, or for 'single' the neck.
    missing: what becomes of a keypoint that is not annotated or has no finite coordinates: 'skip' leaves it out,
    'forbid' is a ValueError. Visibility styles write 0 in both cases.
    outside: what becomes of a keypoint outside the image, as a crop has them: 'clip' moves it to the border as the
    paper does, 'missing' treats it as one that is not annotated.
    decimals: of normalised coordinates, 1 to 4.
    """

    auxiliary_encode_keys = {'input_size'}
    label_mapping_table = dict(caption='caption', keypoint_weights='keypoint_weights')

    def __init__(self,
                 input_size: tuple[int, int] = (384, 384),
                 *,
                 names: Sequence[str] | None = None,
                 style: str = 'text',
                 joints: Sequence[str | int] | None = None,
                 missing: str = 'skip',
                 outside: str = 'clip',
                 decimals: int = 3) -> None:
        super().__init__()
        if style not in STYLES:
            raise ValueError(f'style={style!r} is not one of {list(STYLES)}')
        if missing not in ('skip', 'forbid'):
            raise ValueError(f"missing={missing!r} is not one of ['skip', 'forbid']")
        if outside not in ('clip', 'missing'):
            raise ValueError(f"outside={outside!r} is not one of ['clip', 'missing']")
        if decimals not in range(1, 5):
            raise ValueError(f'decimals={decimals} must be 1 to 4')
        self.input_size = _size(input_size)
        self.style, self.missing, self.outside, self.decimals = style, missing, outside, decimals
        self.names = check_names(names if names is not None else MPII_NAMES_SINGLE if style == 'single' else MPII_NAMES)
        self.joints = self._chosen(joints)
        self.format = STYLES[style](self.input_size, decimals)
        self.parser = CaptionParser({joint: self.names[joint] for joint in self.joints}, self.format,
                                    optional=missing == 'skip' and self.has_coordinates)

    @property
    def num_keypoints(self) -> int:
        """The keypoints of the dataset, of which a caption may have fewer."""
        return len(self.names)

    @property
    def has_coordinates(self) -> bool:
        """False for the visibility styles, whose captions say nothing of where a joint is."""
        return 'x' in self.format.numbers

    def encode(self,
               keypoints: np.ndarray,
               keypoints_visible: np.ndarray | None = None,
               input_size: tuple[int, int] | None = None) -> dict:
        """A caption for each instance, and which keypoints it has.

        keypoints: (N, K, 2) or (K, 2). keypoints_visible: (N, K) or (K,), or with a last axis whose first entry counts.
        A keypoint is annotated where that is 0.5 or more, as in MMPose's codecs. input_size: that of the pipeline,
        which must be the codec's.

        caption: a tuple of N strings; a list would be stacked into an array by PackPoseInputs. keypoint_weights:
        (N, K), 1 where the caption gives the keypoint.
        """
        if input_size is not None and tuple(input_size) != self.input_size:
            raise ValueError(f'input_size={tuple(input_size)} of the pipeline differs from input_size='
                             f'{self.input_size} of the codec')
        keypoints, visible = self._arrays(keypoints, keypoints_visible)
        captions, weights = [], np.zeros(visible.shape, dtype=np.float32)
        for points, flags, weight in zip(keypoints, visible, weights):
            captions.append(self._write(points, flags))
            given = [joint for joint in self.joints if flags[joint] or not self.has_coordinates]
            weight[given] = 1
        return dict(caption=tuple(captions), keypoint_weights=weights)

    def write(self, keypoints: np.ndarray, visible: np.ndarray | None = None) -> str:
        """The caption of one instance. keypoints: (K, 2), in input pixels; visible: (K,)."""
        (points, ), (flags, ) = self._arrays(keypoints, visible)
        return self._write(points, flags)

    def decode(self, encoded: str | Sequence[str]) -> DecodedCaption:
        """What one or more captions say. Never raises on a string."""
        captions = [encoded] if isinstance(encoded, str) or not isinstance(encoded, Iterable) else list(encoded)
        if not all(isinstance(caption, str) for caption in captions):
            raise ValueError(f'encoded={encoded!r} must be a string or a list of strings')
        keypoints = np.zeros((len(captions), self.num_keypoints, 2), dtype=np.float32)
        valid = np.zeros(keypoints.shape[:2], dtype=bool)
        visible = np.zeros(keypoints.shape[:2], dtype=np.float32)
        reports = []
        for index, caption in enumerate(captions):
            found, report = self.parser.parse(caption)
            for joint, values in found.items():
                keypoints[index, joint] = values.get('x', 0), values.get('y', 0)
                valid[index, joint] = True
                visible[index, joint] = values.get('visible', 1)
            reports.append(report)
        return DecodedCaption(keypoints, valid, tuple(reports), visible)

    def template(self) -> tuple[Literal | Slot, ...]:
        """The caption with every joint: its pieces joined, one choice for each slot, are what ``write`` can give."""
        return tuple(piece for _, pieces in self.joint_templates() for piece in pieces)

    def joint_templates(self) -> list[tuple[int, tuple[Literal | Slot, ...]]]:
        """(joint, its pieces) for each joint of the caption. A missing joint's pieces are left out of the caption."""
        return [(joint, self.format.template(joint, self.names[joint])) for joint in self.joints]

    def slot_value(self, slot: Slot, choice: str) -> float:
        """The value in input pixels, or whether visible, that a choice of a slot stands for."""
        values = self.format.values[slot.axis]
        if choice not in values:
            raise ValueError(f'choice={choice!r} is not one of the slot: {slot.choices[0]} to {slot.choices[-1]}')
        return values[choice]

    def _write(self, points: np.ndarray, flags: np.ndarray) -> str:
        pieces, absent = [], []
        for joint in self.joints:
            if flags[joint] or not self.has_coordinates:
                x, y = points[joint].tolist()
                pieces.append(self.format.write(self.names[joint], dict(x=x, y=y, visible=flags[joint])))
            else:
                absent.append(self.names[joint])
        if absent and self.missing == 'forbid':
            raise ValueError(f"keypoints lack {', '.join(absent)}; missing='forbid' needs every joint of the caption")
        return ''.join(pieces)

    def _arrays(self, keypoints: np.ndarray, visible: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """(N, K, 2) in float64, and whether each keypoint is there, (N, K)."""
        keypoints = np.asarray(keypoints, dtype=np.float64)
        if keypoints.ndim not in (2, 3) or keypoints.shape[-2:] != (self.num_keypoints, 2):
            raise ValueError(f'keypoints has the shape {keypoints.shape}; names says (N, {self.num_keypoints}, 2)')
        keypoints = keypoints.reshape(-1, self.num_keypoints, 2)
        there = np.isfinite(keypoints).all(axis=-1)
        if visible is not None:
            visible = np.asarray(visible, dtype=np.float64)
            if visible.ndim == 3:
                visible = visible[..., 0]
            if visible.size != there.size:
                raise ValueError(f'keypoints_visible has the shape {visible.shape}, keypoints has {keypoints.shape}')
            there &= visible.reshape(there.shape) >= 0.5
        if self.outside == 'missing':
            there &= ((np.rint(keypoints) >= 0) & (np.rint(keypoints) < self.input_size)).all(axis=-1)
        return keypoints, there

    def _chosen(self, joints: Sequence[str | int] | None) -> tuple[int, ...]:
        if joints is None:
            joints = range(len(self.names))
            if 'simple' in self.style:
                joints = SIMPLE_JOINTS
            elif self.style == 'single':
                joints = SINGLE_JOINT if 'neck' in self.names or len(self.names) > 1 else (0, )
            absent = [joint for joint in joints if isinstance(joint, str) and joint not in self.names]
            if absent:
                raise ValueError(f'style={self.style!r} needs joints, as names have no {absent[0]!r}')
        chosen = joint_indices(joints, self.names)
        if self.style == 'single' and len(chosen) > 1:
            raise ValueError(f"joints={list(joints)} must be one joint for style='single'")
        return chosen


def _size(input_size: tuple[int, int]) -> tuple[int, int]:
    try:
        width, height = map(operator.index, input_size)
    except (TypeError, ValueError):
        width = height = 0
    if width < 1 or height < 1:
        raise ValueError(f'input_size={input_size} must be width and height in whole pixels')
    return width, height
