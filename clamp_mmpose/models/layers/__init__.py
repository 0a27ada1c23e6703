from .activation_maps import ActivationMaps
from .context_decoder import ContextDecoder
from .context_encoder import ContextEncoder
from .dense_attention_pool import DenseAttentionPool
from .dense_projection import DenseProjection
from .eval_cache import EvalCache
from .full_precision import full_precision
from .heatmap_bottleneck import HeatmapBottleneck
from .inpainting_network import InpaintingNetwork
from .keypoint_sampling import sample_bilinear, sample_released
from .local_keys import LocalKeys
from .packed_prompts import PackedPrompts
from .part_decoder import PartDecoder
from .pose_prototypes import PosePrototypes
from .position_table import resize_position_table
from .prompt_encoder import PromptEncoder
from .resize_map import resize_map
from .score_map import compute_score_map
from .score_map_upsampler import ScoreMapUpsampler
from .semantic_graph_conv import SemanticGraphConv
from .skeleton import kinematic_adjacency, read_skeleton
from .spatial_position_encoding import SpatialPositionEncoding
from .spatial_prior import SpatialPrior
from .vit_pyramid import ViTPyramid
from .window_logits import window_logits

__all__ = [
    'ActivationMaps', 'ContextDecoder', 'ContextEncoder', 'DenseAttentionPool', 'DenseProjection', 'EvalCache',
    'HeatmapBottleneck', 'InpaintingNetwork', 'LocalKeys', 'PackedPrompts', 'PartDecoder', 'PosePrototypes',
    'PromptEncoder', 'ScoreMapUpsampler', 'SemanticGraphConv', 'SpatialPositionEncoding', 'SpatialPrior', 'ViTPyramid',
    'compute_score_map', 'full_precision', 'kinematic_adjacency', 'read_skeleton', 'resize_map',
    'resize_position_table', 'sample_bilinear', 'sample_released', 'window_logits'
]
