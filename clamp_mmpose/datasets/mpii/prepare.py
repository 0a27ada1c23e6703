"""From MPII's annotations to the training and validation files of pose captions."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..splits.split_file import provenance
from .caption_split import shared_videos, split_people
from .ground_truth import encode_ground_truth
from .person import MpiiPerson
from .pose_json import read_pose_json
from .release_file import read_release

STEM = 'mpii_captions'


@dataclass
class CaptionFiles:
    """What is to be written, and what a reader should know of it.

    contents: name -> bytes. counts: what was left after each step, in order. train, val: the people.
    """
    contents: dict
    counts: dict
    remarks: list
    train: list[MpiiPerson]
    val: list[MpiiPerson]


def prepare_captions(paths: Sequence[Path], *, require_visible: bool = False, percent: int = 20, seed: int = 0,
                     by: str = 'image') -> CaptionFiles:
    """The paper's people, divided: one person in the image's ``single_person``, all sixteen joints annotated.

    paths: MPII's own .mat file, or one or more of MMPose's json files. require_visible: only those all of whose joints
    are marked visible, too; the paper's "visible" means annotated. The same content and seed give the same bytes.

    Raises ValueError for files of another form, for what a json does not say, and where nobody is left.
    """
    paths = [Path(path) for path in paths]
    is_release = [path.suffix == '.mat' for path in paths]
    if any(is_release) and len(paths) > 1:
        raise ValueError(f'{paths[is_release.index(True)]} has all of MPII: give it alone, or json files alone')
    if not all(is_release):
        for asked, option in ((require_visible, '--require-visible'), (by == 'video', '--split-by video')):
            if asked:
                raise ValueError(f"{option} needs MPII's mpii_human_pose_v1_u12_1.mat: MMPose's json has neither "
                                 'is_visible nor the video of an image')
    sources = [dict(file=path.name, sha256=hashlib.sha256(_read(path)).hexdigest()) for path in paths]
    people, counts, remarks = read_release(paths[0]) if any(is_release) else read_pose_json(paths)
    people = _select(people, counts, remarks, require_visible)
    if by == 'video':
        people = _with_video(people, remarks)
    if not people:
        raise ValueError(f'{", ".join(path.name for path in paths)} has nobody to use: ' + ', '.join(
            f'{number} {what}' for what, number in counts.items()))
    train, val = split_people(people, percent=percent, seed=seed, by=by)
    counts |= dict(train=len(train), val=len(val))
    remarks += _remarks(train, val, by)
    arguments = dict(require_visible=require_visible, val_percent=percent, seed=seed, split_by=by)
    contents = _encode(train, val, name_of(by, require_visible, seed), sources, arguments, counts)
    return CaptionFiles(contents, counts, remarks, train, val)


def name_of(by: str, require_visible: bool, seed: int) -> str:
    """What the files' names begin with: of the paper's protocol and seed 0, nothing more than ``mpii_captions``."""
    return STEM + ('-video' if by == 'video' else '') + ('-visible' if require_visible else '') + (
        f'-seed{seed}' if seed else '')


def _select(people: list, counts: dict, remarks: list, require_visible: bool) -> list:
    people = [person for person in people if person.is_complete]
    counts['with all sixteen joints annotated'] = len(people)
    marked = [person for person in people if person.marked is not None and person.is_all_visible]
    if any(person.marked is not None for person in people):
        counts['with all sixteen joints marked visible'] = len(marked)
    guessed = sum(person.head_box is None for person in people)
    if guessed:
        remarks.append(f'{guessed} people without a head box have one made from neck and head top: its diagonal, all '
                       'that PCKh takes, is the same, its sides are not')
    return marked if require_visible else people


def _with_video(people: list, remarks: list) -> list:
    known = [person for person in people if person.video is not None]
    if len(known) < len(people):
        remarks.append(f'{len(people) - len(known)} people left out, whose image has no video')
    return known


def _remarks(train: list, val: list, by: str) -> list:
    if by == 'video':
        videos = {name: len({person.video for person in part}) for name, part in (('train', train), ('val', val))}
        return [f'{videos["train"]} videos in train, {videos["val"]} others in val']
    if all(person.video is None for person in train):
        return []
    return [f'{shared_videos(train, val)} of {len(val)} validation images are frames of videos that training images '
            'are of too: --split-by video keeps them apart']


def _encode(train: list, val: list, stem: str, sources: list, arguments: dict, counts: dict) -> dict:
    contents = {f'{stem}_{part}.json': json.dumps([person.record() for person in people]).encode()
                for part, people in (('train', train), ('val', val))}
    contents[f'{stem}_gt_val.mat'] = encode_ground_truth(
        np.stack([person.head() for person in val]), np.stack([person.joints for person in val]),
        np.stack([person.annotated for person in val]), title='MPII, people of pose captions')
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    about = provenance('mpii-captions', sources, arguments, counts=counts, files=sums)
    contents[f'{stem}_manifest.json'] = json.dumps(about, indent=1).encode()
    return contents


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(f'{path} is not there')
    return path.read_bytes()
