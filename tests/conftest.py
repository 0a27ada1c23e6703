import pytest
import torch
from mmengine.registry import init_default_scope

import clamp_mmpose  # noqa: F401  (registers the parts)


@pytest.fixture(autouse=True)
def repeatable():
    """Every test starts from the same random state, in MMPose's scope and on one thread."""
    init_default_scope('mmpose')
    torch.manual_seed(0)
    torch.set_num_threads(1)
