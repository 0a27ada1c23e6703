from .box_file import BoxFile
from .boxes import Boxes, WholeImage
from .detector import Detector
from .inputs import Input, find_inputs
from .pose_inferencer import PoseInferencer
from .pose_result import PoseResult

__all__ = ['BoxFile', 'Boxes', 'Detector', 'Input', 'PoseInferencer', 'PoseResult', 'WholeImage', 'find_inputs']
