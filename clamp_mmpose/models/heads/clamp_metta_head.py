from __future__ import annotations

from mmpose.models.heads import HeatmapHead
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, OptSampleList
from torch import Tensor, nn

from .clamp_head import CLAMPHead
from .metta_head import MeTTAHead


@MODELS.register_module()
class CLAMPMeTTAHead(MeTTAHead, CLAMPHead):
    """CLAMP's head with MeTTA's self-supervised task on top: a CLAMP model that adapts to the image in front of it.

    It stands behind the necks of :class:`CLAMPHead` and is trained by its losses, and by the auxiliary one, in the joint
    stage. What they train is frozen afterwards: the meta stage has the heatmap loss alone. Steps adapt the layers
    between the features, score map included, and the prediction. Neither paper has this; the design is ours.

    Takes the arguments of both heads but ``matching_only``, which has no layers to adapt.
    """

    def __init__(self, in_channels: int, out_channels: int, **kwargs) -> None:
        if kwargs.get('matching_only'):
            raise ValueError('matching_only=True of CLAMPMeTTAHead: a head that predicts from the score map alone has no '
                             'layers over the features, which would adapt')
        super().__init__(in_channels, out_channels, **kwargs)

    @property
    def frozen_modules(self) -> tuple[str, ...]:
        serve_clamp = ('score_head', 'feature_loss')
        return (*MeTTAHead.frozen_modules, *(name for name in serve_clamp if isinstance(getattr(self, name), nn.Module)))

    def adapted_loss(self, heatmaps: Tensor, batch_data_samples: OptSampleList,
                     train_cfg: ConfigType = {}) -> dict:  # noqa: B006  (MMPose's signature)
        """The meta stage's, of which no other loss of CLAMP would train anything."""
        return HeatmapHead.loss(self, heatmaps, batch_data_samples, train_cfg)
