"""Captions and their poses as cells of :func:`draw_captions`."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..codecs import CaptionPose
from ..codecs.caption_pose import DecodedCaption
from ..evaluation.pose_errors import to_input_pixels
from .caption_panel import CaptionCell
from .pose_view import PoseView

_FINDINGS = ('missing', 'repeated', 'out_of_range', 'malformed', 'unknown', 'junk')


def label_cell(view: PoseView, codec: CaptionPose) -> CaptionCell:
    """The labelled keypoints, and the caption that the codec writes of them; the image alone where there is no label.
    """
    given = view.visible > 0
    if not view.annotated:
        return CaptionCell(view.keypoints, given)
    points = to_input_pixels(view.sample.gt_instances.keypoints, view.sample.metainfo)[0]
    try:
        return CaptionCell(view.keypoints, given, codec.write(points, given), note='as the codec writes it:')
    except ValueError as error:
        return CaptionCell(view.keypoints, given, note=f'no caption: {error}', sound=False)


def prediction_cell(view: PoseView, codec: CaptionPose) -> CaptionCell:
    """What a model has written, and the joints that can be read out of it.

    Where captions have the visibility alone, the labelled points that they say are visible.
    """
    caption = view.sample.pred_caption['caption']
    decoded = codec.decode(caption)
    if codec.has_coordinates:
        points, given = view.predicted, decoded.valid[0]
    else:
        points, given = view.keypoints, (decoded.visible[0] > 0) & (view.visible > 0)
    words = [*_accuracy(view, codec, decoded)]
    if codec.has_coordinates and given.any():
        words.append(f'confidence {view.scores[given].mean():.2f}')
    report = decoded.report[0]
    if not report.ok:
        words += [f'{name.replace("_", " ")}: {_some(found)}' for name in _FINDINGS if (found := getattr(report, name))]
    return CaptionCell(points, given, caption, note='; '.join(words), sound=report.ok)


def caption_error(view: PoseView, codec: CaptionPose) -> float:
    """Mean distance in input pixels of the labelled joints that the caption has; NaN where there is none."""
    valid = codec.decode(view.sample.pred_caption['caption']).valid[0] & (view.visible > 0)
    if not valid.any() or not codec.has_coordinates:
        return float('nan')
    truth, predicted = (to_input_pixels(instances.keypoints, view.sample.metainfo)[0]
                        for instances in (view.sample.gt_instances, view.sample.pred_instances))
    return float(np.linalg.norm(predicted - truth, axis=-1)[valid].mean())


def _accuracy(view: PoseView, codec: CaptionPose, decoded: DecodedCaption) -> list[str]:
    valid = decoded.valid[0]
    words = []
    if valid.sum() < len(codec.joints):
        words.append(f'{valid.sum()} of {len(codec.joints)} joints')
    if codec.has_coordinates:
        error = caption_error(view, codec)
        words += [] if np.isnan(error) else [f'mean error {error:.1f} px']
    elif view.annotated:
        right = valid & ((decoded.visible[0] > 0) == (view.visible > 0))
        words.append(f'visibility right for {right.sum()} of {len(codec.joints)}')
    return words


def _some(found: Sequence[str], most: int = 4) -> str:
    return ', '.join(found[:most]) + (f' and {len(found) - most} more' if len(found) > most else '')
