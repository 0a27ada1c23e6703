from .caption_pose_metric import CaptionPoseMetric
from .species_coco_metric import SpeciesCocoMetric

__all__ = ['CaptionPoseMetric', 'SpeciesCocoMetric']
