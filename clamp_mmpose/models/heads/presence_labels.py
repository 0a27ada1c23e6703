"""The labels of which parts there are, out of a batch's samples."""
from __future__ import annotations

import torch
from mmpose.utils.typing import OptSampleList
from torch import Tensor

_SURELY_ABSENT = -30.  # a logit whose cross-entropy with a label of 0 is 1e-13


def read_presence(batch_data_samples: OptSampleList, out_channels: int) -> Tensor:
    """(B, C), 0 or 1. ValueError where there is none, or not one instance per image."""
    labels = [sample.gt_instance_labels for sample in batch_data_samples]
    if any('presence' not in label for label in labels):
        raise ValueError("LOFRHead learns from gt_instance_labels.presence, which the samples lack; write "
                         "dict(type='GeneratePresence') in the training pipeline, and at its end "
                         "dict(type='PackPresenceInputs')")
    presence = torch.cat([label.presence for label in labels])
    if presence.shape != (len(labels), out_channels):
        raise ValueError(f'out_channels={out_channels} of LOFRHead, but the presence of {len(labels)} images is '
                         f'{tuple(presence.shape)}; it takes one instance per image and a value per keypoint')
    return presence.float()


def read_windows(batch_data_samples: OptSampleList) -> tuple[Tensor, Tensor, tuple[int, int]] | None:
    """Boxes (B, W, 4) in the input, presence (B, W, C), and the input's (w, h); None if no sample has windows.

    Samples without windows, or with fewer, get boxes of NaN. Presence is NaN where it is not known.
    """
    labels = [sample.gt_instance_labels for sample in batch_data_samples]
    found = [label for label in labels if 'window_boxes' in label]
    if not found:
        return None
    most = max(found, key=lambda label: label.window_boxes.shape[1])
    boxes, presence = (torch.cat([_filled(label.get(name), most[name], fill) for label in labels])
                       for name, fill in (('window_boxes', torch.nan), ('window_presence', 0.)))
    return boxes, presence, tuple(batch_data_samples[0].metainfo['input_size'])


def with_windows(presence: Tensor, window_presence: Tensor, known: Tensor) -> Tensor:
    """(B + M, C): labels of B images (B, C) and of the M windows (B, W, C) that are ``known`` (B, W).

    What an image with windows lacks, no cell of it may show. What it has is NaN: windows say where. Were it learned
    from, cells that few windows reach, at the border, would answer for the whole image.
    """
    presence = presence.masked_fill(known.any(1)[:, None] & (presence > 0), torch.nan)
    return torch.cat([presence, window_presence[known].to(presence)])


def without_unknown(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Both, of any one shape, so that a label of NaN adds neither to the loss nor to the gradient."""
    unknown = labels.isnan()
    return logits.masked_fill(unknown, _SURELY_ABSENT), labels.masked_fill(unknown, 0.)


def _filled(values: Tensor | None, like: Tensor, fill: float) -> Tensor:
    filled = torch.full_like(like, fill)
    if values is not None:
        filled[:, :values.shape[1]] = values
    return filled
