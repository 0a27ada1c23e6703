from .comparison import compute_oks, describe_accuracy, draw_comparison, mean_error
from .keypoint_choice import choose_keypoints, find_keypoints
from .pose_panel import draw_pose, draw_pose_panel
from .pose_view import PoseView, choose_instances, view_instances, view_sample
from .prompt_diagnostics import PromptDiagnostics, diagnose_prompts
from .prompt_report import draw_prompt_diagnostics, format_prompt_diagnostics, write_prompt_diagnostics
from .score_map import draw_score_maps
from .score_map_overlay import draw_score_map_overlay, lighten, score_limits
from .score_map_visualizer import ScoreMapVisualizer
from .similarity import SIMILARITIES, choose_similarity, compute_similarity, draw_similarity, mean_similarity

__all__ = [
    'SIMILARITIES', 'PoseView', 'PromptDiagnostics', 'ScoreMapVisualizer', 'choose_instances', 'choose_keypoints',
    'choose_similarity', 'compute_oks', 'compute_similarity', 'describe_accuracy', 'diagnose_prompts',
    'draw_comparison', 'draw_pose', 'draw_pose_panel', 'draw_prompt_diagnostics', 'draw_score_map_overlay',
    'draw_score_maps', 'draw_similarity', 'find_keypoints', 'format_prompt_diagnostics', 'lighten', 'mean_error',
    'mean_similarity', 'score_limits', 'view_instances', 'view_sample', 'write_prompt_diagnostics'
]
