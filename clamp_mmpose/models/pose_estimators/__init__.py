from .blip_caption_pose_estimator import BLIPCaptionPoseEstimator
from .metta_pose_estimator import MeTTAPoseEstimator
from .test_time_adaptation import TestTimeAdaptation

__all__ = ['BLIPCaptionPoseEstimator', 'MeTTAPoseEstimator', 'TestTimeAdaptation']
