"""Evaluation protocols as annotation files: unseen families, few shots, shares of the data, shared keypoints.

Everything here reads COCO-style files and writes files that MMPose's datasets and ``CocoMetric`` read unchanged.
"""
from .coco_file import CocoFile, is_usable, read_coco
from .draw import draw
from .family_split import FamilySplit, split_by_family
from .few_shot import few_shot
from .fraction import FractionDraw
from .groups import Group, Taxonomy
from .locations import LocationDraw
from .shared_annotations import convert_annotations
from .shared_config import shared_config
from .shared_keypoints import SharedKeypoints
from .split_file import SplitFile, folder_of, write_files

__all__ = [
    'CocoFile', 'FamilySplit', 'FractionDraw', 'Group', 'LocationDraw', 'SharedKeypoints', 'SplitFile', 'Taxonomy',
    'convert_annotations', 'draw', 'few_shot', 'folder_of', 'is_usable', 'read_coco', 'shared_config',
    'split_by_family', 'write_files'
]
