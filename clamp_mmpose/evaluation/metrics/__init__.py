from .caption_pose_metric import CaptionPoseMetric
from .response_at_joints_metric import ResponseAtJointsMetric
from .species_coco_metric import SpeciesCocoMetric
from .torso_pck_accuracy import TorsoPCKAccuracy
from .zero_based_mpii_pck_accuracy import ZeroBasedMpiiPCKAccuracy

__all__ = [
    'CaptionPoseMetric', 'ResponseAtJointsMetric', 'SpeciesCocoMetric', 'TorsoPCKAccuracy', 'ZeroBasedMpiiPCKAccuracy'
]
