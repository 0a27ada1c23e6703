from .vision_language_features import VisionLanguageFeatures

__all__ = ['VisionLanguageFeatures']
