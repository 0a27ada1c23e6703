from .keypoint_choice import choose_keypoints, find_keypoints
from .pose_panel import draw_pose_panel
from .pose_view import PoseView, choose_instances, view_instances
from .prompt_diagnostics import PromptDiagnostics, diagnose_prompts
from .prompt_report import draw_prompt_diagnostics, format_prompt_diagnostics, write_prompt_diagnostics
from .score_map import draw_score_maps

__all__ = [
    'PoseView', 'PromptDiagnostics', 'choose_instances', 'choose_keypoints', 'diagnose_prompts', 'draw_pose_panel',
    'draw_prompt_diagnostics', 'draw_score_maps', 'find_keypoints', 'format_prompt_diagnostics', 'view_instances',
    'write_prompt_diagnostics'
]
