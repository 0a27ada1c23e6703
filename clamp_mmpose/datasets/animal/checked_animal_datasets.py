from mmpose.datasets.datasets.animal import AnimalPoseDataset, AP10KDataset
from mmpose.registry import DATASETS

from ..annotation_check import AnnotationCheck


@DATASETS.register_module()
class CheckedAP10KDataset(AnnotationCheck, AP10KDataset):
    """MMPose's AP-10K dataset; a file without keypoints is a clear error."""


@DATASETS.register_module()
class CheckedAnimalPoseDataset(AnnotationCheck, AnimalPoseDataset):
    """MMPose's Animal-Pose dataset; a file without keypoints is a clear error."""
