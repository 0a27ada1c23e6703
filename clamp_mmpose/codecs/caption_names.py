"""The short names of keypoints in captions, and which of them a caption has."""
from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Sequence

# In the order of MPII's ids, as the paper's captions have them.
MPII_NAMES = ('rankl', 'rknee', 'rhip', 'lhip', 'lknee', 'lankl', 'pelvis', 'thorax', 'upper_neck', 'head', 'rwri',
              'relb', 'rsho', 'lsho', 'lelb', 'lwri')
# The paper's single-joint captions say "neck".
MPII_NAMES_SINGLE = tuple('neck' if name == 'upper_neck' else name for name in MPII_NAMES)
SIMPLE_JOINTS = ('head', 'rknee', 'lknee', 'relb', 'lelb')
SINGLE_JOINT = ('neck', )


def fold(text: str) -> str:
    """Lower case without accents, which is what an uncased BERT tokenizer keeps of a text."""
    text = text.lower()
    if text.isascii():
        return text
    return ''.join(char for char in unicodedata.normalize('NFD', text) if unicodedata.category(char) != 'Mn')


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names as a tuple; ValueError where a caption made of them could not be read back."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'names={names!r} must be a list of words, one for each keypoint')
    names = tuple(names)
    if not names:
        raise ValueError('names=[] must have one word for each keypoint')
    for name in names:
        if not fold(name) or re.search(r'[\s:,()]', fold(name)):
            raise ValueError(f'names has {name!r}; a name must be one word, without white space, ":", ",", "(" or ")"')
        if fold(name)[0] in '.+-' or fold(name)[0].isnumeric():
            raise ValueError(f'names has {name!r}; a name must not start as a number does')
    known = {}
    for name in names:
        if fold(name) in known:
            raise ValueError(f'names has {known[fold(name)]!r} and {name!r}; names must differ in more than case and '
                             'accents')
        known[fold(name)] = name
    return names


def joint_indices(joints: Sequence[str | int], names: tuple[str, ...]) -> tuple[int, ...]:
    """Indices into names, in the order of the dataset. joints: names or indices, each once."""
    if isinstance(joints, (str, int)) or len(joints) == 0:
        raise ValueError(f'joints={joints!r} must be a list of one or more names or indices')
    indices = []
    for joint in joints:
        if isinstance(joint, str):
            if joint not in names:
                raise ValueError(f'joints has {joint!r}, which is not one of names={list(names)}')
            indices.append(names.index(joint))
        else:
            index = operator.index(joint)
            if not 0 <= index < len(names):
                raise ValueError(f'joints has {index}; allowed are 0 to {len(names) - 1}')
            indices.append(index)
    if len(set(indices)) != len(indices):
        raise ValueError(f'joints={list(joints)} has a joint twice')
    return tuple(sorted(indices))
