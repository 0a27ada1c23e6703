"""What a pipeline may do before and after the locations are hidden."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from mmcv.transforms import BaseTransform
from mmpose.datasets.transforms import (
    Albumentation,
    BottomupGetHeatmapMask,
    BottomupRandomAffine,
    BottomupRandomChoiceResize,
    BottomupRandomCrop,
    BottomupResize,
    FilterAnnotations,
    GenerateTarget,
    KeypointConverter,
    PackPoseInputs,
    RandomBBoxTransform,
    RandomFlip,
    RandomHalfBody,
    TopdownAffine,
)
from mmpose.datasets.transforms.mix_img_transforms import MixImageTransform

# These move keypoints with the picture, and let nothing else depend on where they are. Targets are wiped afterwards.
_SAFE = ('GenerateTarget', 'GetBBoxCenterScale', 'HandRandomFlip', 'KeypointConverter', 'LoadImage', 'ModelFlipIndices',
         'PhotometricDistortion', 'RandomBBoxTransform', 'RandomFlip', 'ShiftBBoxCenter', 'TopdownAffine',
         'WholeImageAffine', 'YOLOXHSVRandomAug')
# These choose instances or keypoints by where they are, or take whole other samples from the dataset.
_BY_LOCATION = (BottomupGetHeatmapMask, BottomupRandomAffine, BottomupRandomChoiceResize, BottomupRandomCrop,
                BottomupResize, FilterAnnotations, MixImageTransform)


def check_pipeline(before: Iterable[Callable], after: Iterable[Callable], *, has_located: bool) -> None:
    """Raises ValueError, naming the transform, if locations could reach the picture or the labels.

    before, after: the transforms before and after ``GeneratePresence``, flat. has_located: whether any instance keeps
    its locations, which transforms after it may use.
    """
    for transform in before:
        name = type(transform).__name__
        if isinstance(transform, RandomHalfBody):
            raise _refusal(f'{name} crops by keypoint locations', 'Leave it out' + (
                ', or put it after GeneratePresence, where it crops those instances that keep their locations'
                if has_located else ''))
        if not _is_safe(transform):
            raise _refusal(f'{name} stands before GeneratePresence, where it can use keypoint locations',
                           'Put GeneratePresence before it')
    for transform in after:
        name = type(transform).__name__
        if isinstance(transform, RandomHalfBody) and not has_located:
            raise _refusal(f'{name} crops by keypoint locations, and no instance keeps them', 'Leave it out')
        if isinstance(transform, _BY_LOCATION):
            raise _refusal(f'{name} chooses what is in the picture by keypoint locations', 'Leave it out')


def check_packing(after: Iterable[Callable]) -> None:
    """Raises ValueError if what follows ``GeneratePresence`` loses the labels, or mirrors the picture without them."""
    lost = None
    for transform in after:
        name = type(transform).__name__
        if isinstance(transform, KeypointConverter):
            raise ValueError(f'{name} stands after GeneratePresence and would drop the presence: put it before')
        if isinstance(transform, (RandomFlip, GenerateTarget)):
            lost = lost or name
        if isinstance(transform, PackPoseInputs) and lost and not getattr(transform, 'packs_presence', False):
            raise ValueError(f'{name} does not know the presence that GeneratePresence has noted before {lost}: use '
                             "type='PackPresenceInputs' in its place, or put GeneratePresence right before it")


def check_windows(dataset, transforms: Iterable[Callable]) -> None:
    """Raises ValueError if samples have windows and the pipeline loses them, or moves them where nobody can follow."""
    if not any(getattr(part, 'windows', 0) for part in (dataset, *getattr(dataset, 'datasets', ()))):
        return
    transforms = list(transforms)
    problem = None
    if not any(getattr(one, 'packs_presence', False) for one in transforms):
        problem = "PackPoseInputs does not pack them: use type='PackPresenceInputs' in its place"
    elif not any(isinstance(one, TopdownAffine) for one in transforms):
        problem = 'they are followed through TopdownAffine alone, which the pipeline lacks'
    elif sum(isinstance(one, RandomFlip) for one in transforms) > 1:
        problem = 'of several RandomFlip the last alone is noted: keep one'
    elif any(isinstance(one, RandomBBoxTransform) and one.rotate_prob > 0 for one in transforms):
        problem = 'turned, they are no boxes: write rotate_prob=0 in RandomBBoxTransform'
    if problem:
        raise ValueError(f'samples have windows, and {problem}; or write windows=0 in PresenceTagDataset')


def flatten(transforms: Iterable[Callable]) -> Iterator[Callable]:
    """The transforms themselves, in their order, out of wrappers such as ``Compose`` and ``RandomApply``."""
    for transform in transforms:
        inner = _inner(transform)
        if inner is None:
            yield transform
        else:
            yield from flatten(inner)


def stands_before(dataset, transform: Callable) -> tuple[list, list] | None:
    """The transforms before and after this one in the dataset's pipeline; None if it is not in there.

    A dataset that joins others, each with a pipeline of its own, gets its samples through these.
    """
    own = list(flatten(getattr(getattr(dataset, 'pipeline', None), 'transforms', ())))
    places = [place for place, other in enumerate(own) if other is transform]
    if not places:
        return None
    earlier = [other for part in getattr(dataset, 'datasets', ())
               for other in flatten(getattr(getattr(part, 'pipeline', None), 'transforms', ()))]
    return earlier + own[:places[0]], own[places[0] + 1:]


def _inner(transform: Callable) -> list | None:
    """What a wrapper holds: transforms, or for ``RandomChoice`` several lists of them."""
    inner = getattr(transform, 'transforms', None)
    if isinstance(inner, BaseTransform) or (not isinstance(inner, (list, tuple)) and hasattr(inner, 'transforms')):
        return [inner]
    if isinstance(inner, (list, tuple)) and inner and all(callable(one) for one in inner):
        return list(inner)
    return None


def _is_safe(transform: Callable) -> bool:
    package, name = type(transform).__module__.split('.')[0], type(transform).__name__
    if isinstance(transform, Albumentation):
        return set(transform.keymap_to_albu) <= {'img', 'img_mask'}
    if package == 'mmcv':  # its transforms know `gt_keypoints` alone, which MMPose's datasets do not have
        return True
    return package in ('mmpose', 'clamp_mmpose') and name in _SAFE


def _refusal(problem: str, remedy: str) -> ValueError:
    return ValueError(f'{problem}, which training without locations must not see. {remedy}. To train with that leak, '
                      'say accept_location_leak=True in GeneratePresence')
