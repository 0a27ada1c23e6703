from .blip_caption_pose_estimator import BLIPCaptionPoseEstimator

__all__ = ['BLIPCaptionPoseEstimator']
