from .box_score_loss import BoxScoreLoss
from .heatmap_cross_entropy_loss import HeatmapCrossEntropyLoss
from .keypoint_text_contrastive_loss import KeypointTextContrastiveLoss
from .part_diversity_loss import PartDiversityLoss
from .perceptual_loss import PerceptualLoss
from .score_map_bce_loss import ScoreMapBCELoss
from .score_map_mse_loss import ScoreMapMSELoss

__all__ = [
    'BoxScoreLoss', 'HeatmapCrossEntropyLoss', 'KeypointTextContrastiveLoss', 'PartDiversityLoss', 'PerceptualLoss',
    'ScoreMapBCELoss', 'ScoreMapMSELoss'
]
