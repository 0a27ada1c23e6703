from .caption_pose import CaptionPose, DecodedCaption

__all__ = ['CaptionPose', 'DecodedCaption']
