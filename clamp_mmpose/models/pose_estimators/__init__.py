from .metta_pose_estimator import MeTTAPoseEstimator
from .test_time_adaptation import TestTimeAdaptation

__all__ = ['MeTTAPoseEstimator', 'TestTimeAdaptation']
