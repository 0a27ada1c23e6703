from .backbones import *  # noqa: F403
from .heads import *  # noqa: F403
from .losses import *  # noqa: F403
from .necks import *  # noqa: F403
from .pose_estimators import *  # noqa: F403
from .text_encoders import *  # noqa: F403
