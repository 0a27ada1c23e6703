from .keypoint_choice import choose_keypoints, find_keypoints
from .pose_panel import draw_pose_panel
from .pose_view import PoseView, choose_instances, view_instances
from .score_map import draw_score_maps

__all__ = [
    'PoseView', 'choose_instances', 'choose_keypoints', 'draw_pose_panel', 'draw_score_maps', 'find_keypoints',
    'view_instances'
]
