from .adaptation_curve import (
    CURVE_COLUMNS,
    AdaptationCurve,
    choose_metrics,
    curve_table,
    draw_adaptation_curves,
    find_curve,
)
from .adaptation_panel import ADAPTATION_COLUMNS, adaptation_table, draw_adaptation
from .adaptation_trace import AdaptationTrace, trace_adaptation
from .caption_panel import CaptionCell, draw_captions
from .caption_view import caption_error, label_cell, prediction_cell
from .comparison import compute_oks, describe_accuracy, draw_comparison, mean_error
from .inpainting import Inpainting, inpaint_instance, missing_for_inpainting
from .inpainting_panel import INPAINTING_COLUMNS, draw_inpainting, draw_inpainting_errors, inpainting_table
from .keypoint_choice import choose_keypoints, find_keypoints, find_parts
from .masking import MaskedPose, predict_masked
from .masking_panel import MASKING_COLUMNS, draw_masking, draw_masking_errors, masking_table
from .pose_panel import draw_pose, draw_pose_panel
from .pose_view import PoseView, choose_instances, view_instances, view_sample
from .prompt_diagnostics import PromptDiagnostics, diagnose_prompts
from .prompt_report import draw_prompt_diagnostics, format_prompt_diagnostics, write_prompt_diagnostics
from .prototype_relations import (
    PRODUCTS,
    RELATION_COLUMNS,
    draw_prototypes,
    missing_for_prototypes,
    prototype_products,
    relation_table,
)
from .response_maps import (
    RESPONSE_COLUMNS,
    missing_for_responses,
    response_table,
    responses_at_labels,
    view_responses,
)
from .response_panel import draw_responses
from .score_map import draw_score_maps
from .score_map_overlay import draw_score_map_overlay, lighten, score_limits
from .score_map_visualizer import ScoreMapVisualizer
from .similarity import SIMILARITIES, choose_similarity, compute_similarity, draw_similarity, mean_similarity
from .token_attention import ATTENTION_COLUMNS, TokenAttention, attend
from .token_attention_panel import draw_token_attention

__all__ = [
    'ADAPTATION_COLUMNS', 'ATTENTION_COLUMNS', 'CURVE_COLUMNS', 'INPAINTING_COLUMNS', 'MASKING_COLUMNS', 'PRODUCTS',
    'RELATION_COLUMNS', 'RESPONSE_COLUMNS', 'SIMILARITIES', 'AdaptationCurve', 'AdaptationTrace', 'CaptionCell',
    'Inpainting', 'MaskedPose', 'PoseView', 'PromptDiagnostics', 'ScoreMapVisualizer', 'TokenAttention',
    'adaptation_table', 'attend', 'caption_error', 'choose_instances', 'choose_keypoints', 'choose_metrics',
    'choose_similarity', 'compute_oks', 'compute_similarity', 'curve_table', 'describe_accuracy', 'diagnose_prompts',
    'draw_adaptation', 'draw_adaptation_curves', 'draw_captions', 'draw_comparison', 'draw_inpainting',
    'draw_inpainting_errors', 'draw_masking', 'draw_masking_errors', 'draw_pose', 'draw_pose_panel',
    'draw_prompt_diagnostics', 'draw_prototypes', 'draw_responses', 'draw_score_map_overlay', 'draw_score_maps',
    'draw_similarity', 'draw_token_attention', 'find_curve', 'find_keypoints', 'find_parts',
    'format_prompt_diagnostics', 'inpaint_instance', 'inpainting_table', 'label_cell', 'lighten', 'masking_table',
    'mean_error', 'mean_similarity', 'missing_for_inpainting', 'missing_for_prototypes', 'missing_for_responses',
    'predict_masked', 'prediction_cell', 'prototype_products', 'relation_table', 'response_table',
    'responses_at_labels', 'score_limits', 'trace_adaptation', 'view_instances', 'view_responses', 'view_sample',
    'write_prompt_diagnostics'
]
