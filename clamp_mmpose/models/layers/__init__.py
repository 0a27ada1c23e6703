from .context_decoder import ContextDecoder
from .dense_attention_pool import DenseAttentionPool
from .dense_projection import DenseProjection
from .eval_cache import EvalCache
from .full_precision import full_precision
from .heatmap_bottleneck import HeatmapBottleneck
from .inpainting_network import InpaintingNetwork
from .keypoint_sampling import sample_bilinear, sample_released
from .packed_prompts import PackedPrompts
from .position_table import resize_position_table
from .prompt_encoder import PromptEncoder
from .score_map import compute_score_map
from .score_map_upsampler import ScoreMapUpsampler
from .spatial_prior import SpatialPrior
from .vit_pyramid import ViTPyramid

__all__ = [
    'ContextDecoder', 'DenseAttentionPool', 'DenseProjection', 'EvalCache', 'HeatmapBottleneck', 'InpaintingNetwork',
    'PackedPrompts', 'PromptEncoder', 'ScoreMapUpsampler', 'SpatialPrior', 'ViTPyramid', 'compute_score_map',
    'full_precision', 'resize_position_table', 'sample_bilinear', 'sample_released'
]
