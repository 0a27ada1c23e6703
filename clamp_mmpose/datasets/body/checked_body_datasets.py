from mmpose.datasets.datasets.body import CocoDataset
from mmpose.registry import DATASETS

from ..annotation_check import AnnotationCheck


@DATASETS.register_module()
class CheckedCocoDataset(AnnotationCheck, CocoDataset):
    """MMPose's COCO keypoint dataset; a file without keypoints is a clear error."""
