from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SAMPLES = 2000  # some tenths of a second of unpacking, whatever the size of the dataset
_ALMOST_ALL = 0.97


@dataclass(frozen=True)
class PresentShare:
    """How often each keypoint of a dataset is present. ``shares``: (K,); ``number``: instances looked at."""

    shares: np.ndarray
    number: int
    names: tuple

    def problem(self) -> str:
        """What hinders learning from presence; '' if nothing does."""
        mean = self.shares.mean()
        constant = (self.shares == 0) | (self.shares == 1)
        looked = f'{100 * mean:.1f} % of the labels of {self.number} instances are positive'
        if constant.all():
            return (f'{looked}: no keypoint is there in some and missing in others, so that presence says nothing of '
                    'where it is. Take data with parts of people, such as COCO, or give locations')
        if mean >= _ALMOST_ALL:
            return f'{looked}: hardly any keypoint is ever missing, and presence says little of where it is'
        if constant.any():
            names = ', '.join(f'{name} (always {"there" if share else "missing"})'
                              for name, share in zip(self.names, self.shares) if share in (0, 1))
            return f'{looked}, and nothing can be learnt of keypoints whose label never changes: {names}'
        return ''


def find_share(dataset, names: Sequence[str] = ()) -> PresentShare | None:
    """Looks at instances spread over the dataset; None if it does not give their ``keypoints_visible``."""
    length = len(dataset)
    present = []
    for index in np.unique(np.linspace(0, length - 1, min(length, _SAMPLES)).astype(int)) if length else ():
        info = dataset.get_data_info(int(index))
        visible = info.get('keypoints_visible') if isinstance(info, dict) else None
        if visible is None:
            return None
        visible = np.asarray(visible)
        if visible.ndim == 3:
            visible = visible[..., 1 if info.get('presence_only') else 0]
        present.append(visible.reshape(-1, visible.shape[-1]) > 0)
    if not present or len({part.shape[-1] for part in present}) > 1:
        return None
    present = np.concatenate(present)
    names = tuple(names) or tuple(f'keypoint {index}' for index in range(present.shape[1]))
    return PresentShare(present.mean(0), len(present), names)
