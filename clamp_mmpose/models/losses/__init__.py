from .keypoint_text_contrastive_loss import KeypointTextContrastiveLoss

__all__ = ['KeypointTextContrastiveLoss']
