"""Where on the body each keypoint of a dataset lies, so that keypoints of two datasets can be told to be the same.

One table per dataset of MMPose: the keypoint's name in natural language, in the dataset's order, and its place. Two
keypoints are the same where their places are; a second place is one that they are only roughly at. None is a place that
no other dataset has. A name is no evidence: AP-10K's elbow is not Animal-Pose's.
"""
from __future__ import annotations


def _both_sides(table: dict) -> dict:
    """'* eye' stands for the left one and the right one; where they stand is put right by ``_in_order``."""
    return {name.replace('*', side): _sided(place, side) for name, place in table.items()
            for side in (('left', 'right') if '*' in name else ('', ))}


def _sided(place, side: str):
    if isinstance(place, tuple):
        return tuple(_sided(one, side) for one in place)
    return place and place.replace('*', side)


def _in_order(order: str, table: dict) -> dict:
    """The table in the dataset's order, given as names between commas."""
    table, names = _both_sides(table), [name.strip() for name in order.split(',')]
    assert sorted(names) == sorted(table)
    return {name: table[name] for name in names}


# AP-10K links neck - shoulder - elbow - front paw and tail root - hip - knee - back paw. Its authors explain (question
# 4 of the dataset's README) that animals which walk on toes or hooves hide their hips in the body: there 'hip' is the
# knee and 'knee' is the ankle, so that 'knee' is near the middle of the visible leg. The front leg is annotated
# likewise: 'shoulder' is the elbow, where the leg leaves the trunk, and 'elbow' is the wrist. Only for animals that
# walk on their soles, apes and bears, the names are those of anatomy; as roughly those of people, therefore.
# 'neck' is a point inside the neck: neither Animal-Pose's throat nor its withers.
_AP10K = _in_order(
    'left eye, right eye, nose, neck, tail root, left shoulder, left elbow, left front paw, right shoulder, '
    'right elbow, right front paw, left hip, left knee, left back paw, right hip, right knee, right back paw',
    {
        '* eye': '* eye',
        'nose': 'nose',
        'neck': None,
        'tail root': 'tail base',
        '* shoulder': ('* front leg, top', '* shoulder'),
        '* elbow': ('* front leg, middle', '* elbow'),
        '* front paw': '* front paw',
        '* hip': ('* hind leg, top', '* hip'),
        '* knee': ('* hind leg, middle', '* knee'),
        '* back paw': '* back paw',
    })

# Animal-Pose links throat - front elbow - front knee - front paw and tail base - back elbow - back knee - back paw. Its
# elbows are where the legs leave the trunk and its knees in the middle of the visible legs: a horse's front knee is its
# wrist. All its animals (dog, cat, sheep, horse, cow) walk on toes or hooves, so AP-10K's rule above always holds.
# So 'left elbow' of AP-10K is 'left front knee' here, and 'left knee' is 'left back knee'.
_ANIMALPOSE = _in_order(
    'left eye, right eye, left earbase, right earbase, nose, throat, tail base, withers, left front elbow, '
    'right front elbow, left back elbow, right back elbow, left front knee, right front knee, left back knee, '
    'right back knee, left front paw, right front paw, left back paw, right back paw',
    {
        '* eye': '* eye',
        '* earbase': (None, '* ear'),  # COCO points at the middle of the ear
        'nose': 'nose',
        'throat': None,
        'tail base': 'tail base',
        'withers': None,
        '* front elbow': '* front leg, top',
        '* back elbow': '* hind leg, top',
        '* front knee': '* front leg, middle',
        '* back knee': '* hind leg, middle',
        '* front paw': '* front paw',
        '* back paw': '* back paw',
    })

_LIMBS = {f'* {name}': f'* {name}' for name in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')}

_COCO = _in_order(
    'nose, left eye, right eye, left ear, right ear, left shoulder, right shoulder, left elbow, right elbow, '
    'left wrist, right wrist, left hip, right hip, left knee, right knee, left ankle, right ankle',
    {**_LIMBS, 'nose': 'nose', '* eye': '* eye', '* ear': '* ear'})

# MMPose takes CrowdPose's 'neck' and MPII's 'upper neck' for one point when it mixes datasets; CrowdPose's lies lower.
_CROWDPOSE = _in_order(
    'left shoulder, right shoulder, left elbow, right elbow, left wrist, right wrist, left hip, right hip, left knee, '
    'right knee, left ankle, right ankle, head top, neck',
    {**_LIMBS, 'head top': 'head top', 'neck': (None, 'upper neck')})

_MPII = _in_order(
    'right ankle, right knee, right hip, left hip, left knee, left ankle, pelvis, thorax, upper neck, head top, '
    'right wrist, right elbow, right shoulder, left shoulder, left elbow, left wrist',
    {**_LIMBS, 'pelvis': (None, 'pelvis'), 'thorax': (None, 'thorax'), 'upper neck': (None, 'upper neck'),
     'head top': 'head top'})

# Joints of a motion capture skeleton, not points on the skin; its feet are what the others call ankles.
_H36M = _in_order(
    'pelvis, right hip, right knee, right foot, left hip, left knee, left foot, spine, thorax, neck base, head, '
    'left shoulder, left elbow, left wrist, right shoulder, right elbow, right wrist',
    {**{name: place for name, place in _LIMBS.items() if name != '* ankle'}, '* foot': '* ankle',
     'pelvis': (None, 'pelvis'), 'spine': None, 'thorax': (None, 'thorax'), 'neck base': None,
     'head': (None, 'head top')})

PLACES = dict(ap10k=_AP10K, animalpose=_ANIMALPOSE, coco=_COCO, crowdpose=_CROWDPOSE, mpii=_MPII, h36m=_H36M)
