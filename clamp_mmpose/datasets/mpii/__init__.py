"""MPII's annotations as training and validation files of pose captions."""
from .ground_truth import encode_ground_truth
from .person import MpiiPerson
from .pose_json import check_record
from .prepare import CaptionFiles, prepare_captions

__all__ = ['CaptionFiles', 'MpiiPerson', 'check_record', 'encode_ground_truth', 'prepare_captions']
