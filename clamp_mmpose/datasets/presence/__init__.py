"""Presence of keypoints as the label, with the locations of all, some or none of the instances."""
from .located_instances import LocatedInstances
from .pipeline_check import check_pipeline, flatten, stands_before
from .present_share import PresentShare, find_share
from .tag_table import TagRow, read_tag_table

__all__ = [
    'LocatedInstances', 'PresentShare', 'TagRow', 'check_pipeline', 'find_share', 'flatten', 'read_tag_table',
    'stands_before'
]
